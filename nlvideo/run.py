"""The folder of a run: what lies in it, and when it is written.

runs/<name>/
  config.yaml       everything the run was started with
  metrics.csv       a row for each log step and epoch
  curves.png        the same as a picture
  last.ckpt         where a run goes on, see `keeping`; best.ckpt: of the best clip-level validation
  fit.json          seconds and epochs of a training that has come to its end
  validate.json, test.json, predictions.parquet        of the latest evaluation
"""

import csv
import json
import os
import time
from pathlib import Path
from typing import Any

import yaml
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn
from rich.table import Table

from nlvideo.console import console
from nlvideo.cost_tables import Job, stage_table
from nlvideo.plots import plot_curves
from nlvideo.predictions import Predictions, write_predictions
from nlvideo.task import Evaluation

SHOWN_MISSING = 10
LEVELS = {"clip": "clip level (1 view)", "video": "video level"}


class RunFolder(Callback):
    """Prints what the network costs, a line for each epoch and a table for each evaluation, and writes the files above
    but checkpoints.

    Args:
        folder: of the run.
        config: config.yaml's text.
    """

    def __init__(self, folder: Path, config: str):
        self.folder = folder
        self.config = config
        self.seconds_earlier = 0.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.started = self.epoch_started = time.monotonic()
        if stage == "fit" and trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "fit.json").unlink(missing_ok=True)  # it says that the run is finished
            write_atomically(self.folder / "config.yaml", self.config)
            for logger in trainer.loggers:
                if not isinstance(logger, CSVLogger):  # beside metrics.csv lies config.yaml
                    logger.log_hyperparams(yaml.safe_load(self.config))

    @rank_zero_only
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = trainer.datamodule
        clip = (data.clip_sampling.num_frames, data.crop_size, data.crop_size)
        console().print(stage_table(Job(pl_module.net, clip, data.batch_size)))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epoch_started = time.monotonic()

    @rank_zero_only
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        values = trainer.callback_metrics
        shown = {
            "train loss": ("train/loss_epoch", 1, ".3f"),
            "train top-1 %": ("train/top1", 100, ".1f"),
            "val clip top-1 %": ("val/clip_top1", 100, ".1f"),
        }
        parts = [
            f"{label} {values[key].item() * scale:{form}}"
            for label, (key, scale, form) in shown.items()
            if key in values
        ]
        seconds = time.monotonic() - self.epoch_started
        console().print(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {'  '.join(parts)}  {seconds:.0f} s",
            highlight=False,
        )

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        seconds = self._seconds()
        write_json(self.folder / "fit.json", {"seconds": seconds, "epochs": trainer.current_epoch})
        metrics = self.folder / "metrics.csv"
        if metrics.is_file():
            plot_curves(metrics, self.folder / "curves.png")
        console().print(f"trained in {seconds:.0f} s: {self.folder}", highlight=False)

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self._seconds()}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self.seconds_earlier = state_dict["seconds"]

    def _seconds(self) -> float:
        """Of the training, over interruptions."""
        return self.seconds_earlier + time.monotonic() - self.started

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._report(trainer, pl_module.evaluation, "validate", "val")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._report(trainer, pl_module.evaluation, "test", "test")

    @rank_zero_only
    def _report(self, trainer: Trainer, evaluation: Evaluation, stage: str, split: str) -> None:
        data = trainer.datamodule
        seconds = time.monotonic() - self.started
        samples, missing = data.samples[split], evaluation.missing()
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(
            self.folder / f"{stage}.json",
            {
                **evaluation.levels,
                "num_scored": len(evaluation.labels),
                "num_videos": evaluation.num_videos,
                "missing": [str(samples[row].path) for row in missing],
                "views": f"{data.num_clips} x {data.num_crops}" if stage == "test" else "1",
                "protocol": data.protocol,
                "seconds": seconds,
            },
        )
        if stage == "test":
            predictions = Predictions(
                ids=[str(samples[row].path) for row in evaluation.indices.tolist()],
                labels=evaluation.labels.numpy(),
                scores=evaluation.scores.numpy(),
                class_names=data.class_names,
                missing=[str(samples[row].path) for row in missing],
            )
            write_predictions(self.folder / "predictions.parquet", predictions)

        table = Table("", "top-1 %", "top-5 %", "mean class %", "loss", "videos")
        for level, values in evaluation.levels.items():
            views = f" ({data.num_clips} x {data.num_crops} views, {data.protocol})" if level == "video" else ""
            percent = [f"{100 * values[name]:.2f}" for name in ("top1", "top5", "mean_class")]
            counted = f"{len(evaluation.labels)} of {evaluation.num_videos}"
            table.add_row(LEVELS[level] + views, *percent, f"{values['loss']:.4f}", counted)
        console().print(table)
        for row in missing[:SHOWN_MISSING]:
            console().print(f"not scored: {samples[row].path}", highlight=False)
        if len(missing) > SHOWN_MISSING:
            console().print(f"not scored: {len(missing) - SHOWN_MISSING} more, see 'missing' in the file below")
        console().print(f"{seconds:.0f} s; written to {self.folder / f'{stage}.json'}", highlight=False)


def write_json(path: Path, content: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(content, indent=2) + "\n")


def write_atomically(path: Path, text: str) -> None:
    """A reader, or a run that was killed, finds the old file or the new one, never half of one."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def forget_run(folder: Path) -> None:
    """Removes what an earlier run left, so that nothing in the folder is of another run than the rest."""
    for name in ("metrics.csv", "curves.png", "fit.json", "validate.json", "test.json", "predictions.parquet"):
        (folder / name).unlink(missing_ok=True)
    for checkpoint in folder.glob("*.ckpt"):
        checkpoint.unlink()


class MetricsLogger(CSVLogger):
    """Outlives a full disk: rows that cannot be written wait for the next ones."""

    @rank_zero_only
    def save(self) -> None:
        path = Path(self.log_dir) / "metrics.csv"
        size = path.stat().st_size if path.is_file() else 0
        try:
            super().save()
        except OSError as error:
            if path.is_file():
                os.truncate(path, size)  # no half a row
            rank_zero_warn(f"{path}: the latest rows could not be written yet ({error.strerror})")


def metrics_logger(folder: Path, resumed: dict[str, Any] | None) -> CSVLogger:
    """Writes folder/metrics.csv. CSVLogger begins anew where a file lies there; a run that goes on keeps the rows up
    to its checkpoint `resumed`."""
    path = folder / "metrics.csv"
    rows = []
    if resumed is not None and path.is_file() and rank_zero_only.rank == 0:
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if not _comes_again(row, resumed)]
        path.unlink()
    logger = MetricsLogger(folder.parent, name=None, version=folder.name, flush_logs_every_n_steps=1)
    if rows:
        logger.experiment.metrics = rows
        logger.save()
    return logger


def _comes_again(row: dict[str, str], resumed: dict[str, Any]) -> bool:
    """Whether a run that goes on from a checkpoint writes this row of metrics.csv once more."""
    later = int(row["step"]) - (resumed["global_step"] - 1)  # than the last step that the checkpoint has seen
    if later:
        return later > 0
    moment = resumed["callbacks"].get("KeepLast", {}).get("moment")
    validated = any(value for key, value in row.items() if key.startswith("val/"))
    ended = bool(row.get("train/loss_epoch"))
    return {"epoch": False, None: ended}.get(moment, ended or validated)


def drop_failing_loggers(trainer: Trainer) -> None:
    """Logging to a service never stops a run: a logger that does not start is left out, with its own words."""
    started = []
    for logger in trainer.loggers:
        try:
            _ = logger.experiment
        except Exception as error:  # whatever a third-party client raises, from no network to no login
            rank_zero_warn(f"{type(logger).__name__} does not start and is left out of this run: {error}")
        else:
            started.append(logger)
    trainer.loggers = started
