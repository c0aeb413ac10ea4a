"""When a run writes ``last.ckpt``, and how it stops, so that the same command goes on as if nothing had happened.

    every so many minutes     of training; a run that is killed outright loses no more
    a step before the last    of an epoch with a validation: a run that ends in it repeats that step and the validation
    at the end of an epoch
    if a signal asks          Ctrl-C, SIGTERM, and SIGUSR1 and SIGUSR2 of batch systems: after the current step

Always between two steps of the optimizer, and never between a step and the validation that follows it: from these
moments Lightning goes on by itself. Order and random draws need no keeping, see `nlvideo.data.samplers`.
"""

import signal
import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from nlvideo.exit_codes import Stopped
from nlvideo.training.checkpoint_io import AtomicIO
from nlvideo.training.finite import FiniteLoss
from nlvideo.training.host_group import HostGroup
from nlvideo.training.signals import StopSignals
from nlvideo.training.trainer import is_last_step

SECONDS_TO_SPEAK = 5.0  # for the other processes of a failed run to say why, before they are killed


class PreemptionCheckpoint(Checkpoint):
    """Writes ``last.ckpt`` at the moments above, and stops the run if a signal asks for it.

    Args:
        folder: of the run.
        minutes: of training after which a checkpoint is due.
        io: writes checkpoints, and knows which it could not write.
        hosts: the processes of the run.
        same_ranks: refuse to go on with another number of processes than there were.
    """

    def __init__(self, folder: Path, minutes: float, io: AtomicIO, hosts: HostGroup, *, same_ranks: bool = False):
        self.folder = folder
        self.seconds = 60 * minutes
        self.io = io
        self.hosts = hosts
        self.same_ranks = same_ranks
        self.signals = StopSignals()
        self._position: dict[str, int] | None = None  # of the loader, where the next batch comes from
        self._epoch_ended = False
        self._ended = False  # the weights are the final ones
        self._resumed_step = 0
        self._pending: Callable[[], list[int]] | None = None  # what the processes said at the end of the step before
        self._stopping = 0  # the signal that all processes follow

    @property
    def path(self) -> Path:
        return self.folder / "last.ckpt"

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.folder = trainer.strategy.broadcast(self.folder)
        self.num_ranks = trainer.world_size
        self.hosts.connect()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.should_stop and not self._ended:  # Lightning's timer has looked at the restored time
            raise ValueError("trainer.max_time is over before this run goes on; raise it")
        if self._resumed_step >= trainer.estimated_stepping_batches:
            trainer.should_stop = True
            if not self.path.is_file():
                raise ValueError(
                    f"{trainer.ckpt_path}: nothing to train, it is of step {self._resumed_step}; raise "
                    "trainer.max_epochs or trainer.max_steps"
                )

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.signals.listen(process.pid for process in started_processes(trainer))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.signals.listen(process.pid for process in started_processes(trainer))
        self._saved_at = time.monotonic()
        self._ended = False
        # Lightning would, but not if the length of the schedule was asked for: the loader was there too early.
        if self._position is not None:
            trainer.train_dataloader.load_state_dict(self._position)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._stop_if(self._stopping, trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._epoch_ended = False
        self._position = trainer.train_dataloader.state_dict()
        if trainer.is_last_batch:
            self._position["samples"] = 0  # of the next epoch
            return
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        due = self._agree(trainer, time.monotonic() - self._saved_at >= self.seconds)
        if is_last_step(trainer) or validates_after(trainer, batch_idx):
            return
        if due or self._stopping or self._comes_before_validation(trainer, batch_idx):
            self._save(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        # Each process for itself: their numbers of batches may differ here. The checkpoint is written already.
        self._stop_if(self.signals.received, trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_ended, self._ended = True, is_last_step(trainer)
        if self._position is not None:
            self._position["samples"] = 0  # also if the epoch was cut
        self._save(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._agree(trainer)
        self._stop_if(self._stopping, trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raise OSError if the final checkpoint is not on the disk: the training is not finished then."""
        error = trainer.strategy.broadcast(self.io.error(self.path))
        if error is not None and not trainer.fast_dev_run:
            raise OSError(
                f"{self.path}: the final checkpoint could not be written ({error}), so this training is not finished. "
                "Make room; the same command goes on from the last checkpoint that could be written"
            )

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End the processes that this one has started, which would wait for it in vain."""
        for process in started_processes(trainer):
            try:
                process.wait(SECONDS_TO_SPEAK)
            except subprocess.TimeoutExpired:
                process.kill()

    def state_dict(self) -> dict[str, Any]:
        return {
            "position": self._position,
            "epoch_ended": self._epoch_ended,
            "ended": self._ended,
            "num_ranks": self.num_ranks,
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["callbacks"].get(self.state_key)
        if state is None:
            return
        if self.same_ranks and state["num_ranks"] != trainer.world_size:
            raise ValueError(
                f"{self.folder} holds a run of {state['num_ranks']} processes, and here are {trainer.world_size}, "
                f"which changes the batch: start as many, or go on all the same with --ckpt_path {self.path}"
            )
        self._resumed_step = checkpoint["global_step"]
        self._position, self._ended = state["position"], state["ended"]

    def _comes_before_validation(self, trainer: Trainer, batch_idx: int) -> bool:
        """Return whether a validation follows the next step."""
        next_idx = min(batch_idx + trainer.accumulate_grad_batches, trainer.num_training_batches - 1)
        ends = trainer.global_step + 1 >= trainer.estimated_stepping_batches
        return trainer.enable_validation and (ends or validates_after(trainer, next_idx))

    def _agree(self, trainer: Trainer, due: bool = False) -> bool:
        """Return whether rank 0 found a checkpoint due at the step before.

        A signal that one process has received, all follow from here on. With several processes they compare what they
        knew a step earlier, so that nobody waits.
        """
        mine = self.hosts.start_max(int(due and trainer.is_global_zero), self.signals.received)
        known = mine if trainer.world_size == 1 else self._pending
        self._pending = mine
        if known is None:
            return False
        due, self._stopping = known()
        return bool(due)

    def _save(self, trainer: Trainer) -> None:
        if not trainer.fast_dev_run:
            trainer.save_checkpoint(self.path)
            self._saved_at = time.monotonic()

    def _stop_if(self, signum: int, trainer: Trainer) -> None:
        if signum:
            self.io.wait()
            name = signal.Signals(signum).name
            goes_on = f"the same command goes on from {self.path}" if self.path.exists() else "nothing is written yet"
            raise Stopped(signum, f"stopped by {name} after step {trainer.global_step}; {goes_on}")


def checkpoints(folder: Path, minutes: float, io: AtomicIO, timeout: timedelta, *, same_ranks: bool) -> list[Callback]:
    """Return what writes a run's last.ckpt and best.ckpt, and keeps bad states out of them.

    Args:
        minutes: of training after which last.ckpt is due.
        timeout: for a process that waits for the others.
        same_ranks: refuse to go on with another number of processes than there were.
    """
    hosts = HostGroup(timeout)
    best = ModelCheckpoint(
        folder,
        filename="best",
        monitor="val/clip_top1",
        mode="max",
        save_on_train_epoch_end=False,  # so that last.ckpt, written after it, knows what the best is
        enable_version_counter=False,
    )
    last = PreemptionCheckpoint(folder, minutes, io, hosts, same_ranks=same_ranks)
    return [FiniteLoss(last.path, hosts), best, last]


def started_processes(trainer: Trainer) -> list[subprocess.Popen]:
    """Return the other ranks that Lightning has started from this process; none under torchrun or Slurm."""
    return getattr(trainer.strategy.launcher, "procs", [])


def validates_after(trainer: Trainer, batch_idx: int) -> bool:
    """Return whether a validation follows this batch of the epoch at hand; false if the clock decides."""
    every, interval = trainer.check_val_every_n_epoch, trainer.val_check_batch
    if not trainer.enable_validation or not interval or (every and (trainer.current_epoch + 1) % every):
        return False
    earlier = 0 if every else trainer.current_epoch * trainer.num_training_batches
    return (earlier + batch_idx + 1) % interval == 0
