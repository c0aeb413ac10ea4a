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
import os
import shutil
import time
from pathlib import Path
from typing import Any

import yaml
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from nlvideo.console import console
from nlvideo.cost.tables import NetworkSpec, stage_table
from nlvideo.evaluation import progress
from nlvideo.files import write_json, write_text
from nlvideo.training.plots import plot_curves
from nlvideo.training.training_summary import training_summary


class RunFolder(Callback):
    """Prints what the network costs and a line for each epoch, and writes the files of a training but checkpoints.
    Those of an evaluation are `nlvideo.evaluation.report`'s.

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
            write_text(self.folder / "config.yaml", self.config)
            for logger in trainer.loggers:
                if not isinstance(logger, CSVLogger):  # beside metrics.csv lies config.yaml
                    logger.log_hyperparams(yaml.safe_load(self.config))

    @rank_zero_only
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = trainer.datamodule
        clip = (data.clip_sampling.num_frames, data.crop_size, data.crop_size)
        console().print(stage_table(NetworkSpec(pl_module.net, clip, data.batch_size)))

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        console().print(training_summary(trainer, pl_module))

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
        last = f"/{trainer.max_epochs}" if trainer.max_epochs > 0 else ""  # a run may be so many steps long
        console().print(
            f"epoch {trainer.current_epoch + 1}{last}  {'  '.join(parts)}  {seconds:.0f} s",
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


def forget_run(folder: Path) -> None:
    """Removes what an earlier run left, so that nothing in the folder is of another run than the rest."""
    for name in ("metrics.csv", "curves.png", "fit.json", "validate.json", "test.json", "predictions.parquet"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / progress.FOLDER, ignore_errors=True)
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
    moment = resumed["callbacks"].get("PreemptionCheckpoint", {}).get("moment")
    validated = any(value for key, value in row.items() if key.startswith("val/"))
    ended = bool(row.get("train/loss_epoch"))
    return {"epoch": False, None: ended}.get(moment, ended or validated)
