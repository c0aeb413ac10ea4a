"""The folder of a run: what lies in it, when it is written, and what the terminal shows meanwhile.

runs/<name>/
  config.yaml       everything the run was started with
  metrics.csv       a row for each log step and epoch
  curves.png, .pdf  the same as a picture
  last.ckpt         where a run goes on, see `checkpointing`; best.ckpt: of the best clip-level validation
  fit.json          seconds and epochs of a training that has come to its end, data, versions, device, most memory
  stopped.json      that the training was told to end, see `stop_if_behind`
  validate.json, test.json, predictions.parquet        of the latest evaluation
"""

import shutil
import time
from datetime import timedelta
from pathlib import Path, PurePath
from typing import Any

import yaml
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from nlvideo.console import console
from nlvideo.cost.tables import NetworkSpec, stage_table
from nlvideo.environment import environment
from nlvideo.evaluation import progress
from nlvideo.files import write_json, write_text
from nlvideo.training.plots import plot_curves
from nlvideo.training.sanity_checks import check_training
from nlvideo.training.stop_if_behind import STOPPED
from nlvideo.training.throughput import Throughput
from nlvideo.training.training_summary import training_summary

FILES = (
    "metrics.csv",
    "curves.png",
    "curves.pdf",
    "fit.json",
    STOPPED,
    "last.ckpt",
    "best.ckpt",
    "validate.json",
    "test.json",
    "predictions.parquet",
)


class RunFolder(Callback):
    """Tells how a training goes: what the network costs, a line for each log step and epoch, and the folder's files but
    metrics and checkpoints.

    Args:
        folder: of the run.
        config: config.yaml's text.
    """

    def __init__(self, folder: Path, config: str):
        self.folder = folder
        self.config = config
        self.seconds_earlier = 0.0
        self.first_step: int | None = None  # None until there is something to train

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.started = self.epoch_started = time.monotonic()
        if trainer.is_global_zero:
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

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        check_training(trainer, pl_module)
        if trainer.is_global_zero:
            console().print(training_summary(trainer, pl_module))
        self.train_started, self.first_step = time.monotonic(), trainer.global_step
        self.step = trainer.global_step
        self.throughput = Throughput()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epoch_started = time.monotonic()
        self.throughput.end_pause()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.throughput.start_batch()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.throughput.end_batch(len(batch.label))
        stepped, self.step = trainer.global_step > self.step, trainer.global_step
        if stepped and trainer.log_every_n_steps and self.step % trainer.log_every_n_steps == 0:
            values = self.throughput.report(trainer.world_size, pl_module.device)
            pl_module.log_dict({f"speed/{name}": value for name, value in values.items()}, on_step=True, on_epoch=False)
            if trainer.is_global_zero:
                self._print_step(trainer, values)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self.throughput.end_pause()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        means = {name: mean.item() for name, mean in pl_module.train_means.compute().items()}
        parts = [f"train loss {means['train/loss_epoch']:.3f}", f"train top-1 % {100 * means['train/top1']:.1f}"]
        if "val/clip_top1" in trainer.callback_metrics:
            parts.append(f"val clip top-1 % {100 * trainer.callback_metrics['val/clip_top1'].item():.1f}")
        if trainer.is_global_zero:
            seconds = time.monotonic() - self.epoch_started
            last = f"/{trainer.max_epochs}" if trainer.max_epochs > 0 else ""  # a run may be so many steps long
            line = f"epoch {trainer.current_epoch + 1}{last}  {'  '.join(parts)}  {seconds:.0f} s"
            console().print(line, highlight=False)

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        seconds = self._seconds()
        metrics, curves = self.folder / "metrics.csv", self.folder / "curves.png"
        try:
            if metrics.is_file():
                plot_curves(metrics, curves)
        except OSError as error:
            rank_zero_warn(f"{curves}: could not be written ({error.strerror})")
        data = trainer.datamodule
        result = {
            "seconds": seconds,
            "epochs": trainer.current_epoch,
            "data": {split: data.splits.recorded(split, data.samples[split]) for split in ("train", "val")},
            **environment(trainer.strategy.root_device, trainer.world_size),
        }
        write_json(self.folder / "fit.json", result)
        done = "nothing left to train" if self.first_step is None else f"trained in {seconds:.0f} s"
        console().print(f"{done}: {self.folder}", highlight=False)

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self._seconds()}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self.seconds_earlier = state_dict["seconds"]

    def _seconds(self) -> float:
        """Return the seconds of the training, over interruptions."""
        return self.seconds_earlier + time.monotonic() - self.started

    def _print_step(self, trainer: Trainer, speed: dict[str, float]) -> None:
        steps_left = trainer.estimated_stepping_batches - trainer.global_step
        # At the pace of this run so far, validations included.
        left = steps_left * (time.monotonic() - self.train_started) / (trainer.global_step - self.first_step)
        console().print(
            f"step {trainer.global_step}/{trainer.estimated_stepping_batches}  "
            f"loss {trainer.callback_metrics['train/loss_step'].item():.3f}  {speed['clips_per_s']:.1f} clips/s  "
            f"data {speed['data_ms']:.0f} ms  step {speed['step_ms']:.0f} ms  peak {speed['peak_GB']:.2f} GB  "
            f"left {timedelta(seconds=round(left)) if left < float('inf') else 'unknown'}",
            highlight=False,
        )


def check_name(name: str | None) -> None:
    """Raise ValueError if a run's name is not that of a folder within runs_dir; None is not given."""
    if name is None:
        return
    path = PurePath(name)
    if not name.strip() or not path.parts or path.is_absolute() or ".." in path.parts:
        raise ValueError(
            f"--name {name!r}: expected the name of a folder within runs_dir, such as nl_r50; --runs_dir sets the place"
        )


def forget_run(folder: Path) -> None:
    """Remove what an earlier run left, so that nothing in the folder is of another run than the rest.

    Only files that nlvideo writes: a checkpoint of another name is somebody's.
    """
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    if (folder / progress.FOLDER).is_dir():
        shutil.rmtree(folder / progress.FOLDER)
