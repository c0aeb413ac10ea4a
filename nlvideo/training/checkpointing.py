"""When a run writes ``last.ckpt``, and how it stops, so that the same command goes on as if nothing had happened.

    before a validation       a run that ends in it repeats the validation and nothing else
    at the end of an epoch
    every so many minutes     of training; a run that is killed outright loses no more
    where a signal asks       SIGTERM, and SIGUSR1 and SIGUSR2 of batch systems: after the current step; then it stops

Always between two steps of the optimiser. Order and random draws need no keeping, see `data.order`.
"""

import io
import os
import signal
import subprocess
import time
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_warn

from nlvideo.exit_codes import Stopped
from nlvideo.files import replacing
from nlvideo.training.sanity_checks import FiniteLoss

STOPPING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
SECONDS_TO_SPEAK = 5.0  # for the other processes of a failed run to say why, before they are killed

Moment = Literal["step", "validation", "epoch"]  # of those above; a signal's is a step


class PreemptionCheckpoint(Checkpoint):
    """Writes ``last.ckpt`` at the moments above, and stops the run where a signal asks for it.

    Args:
        folder: of the run.
        minutes: of training after which a checkpoint is due.
        guard: is asked before each checkpoint, so that no bad state takes the place of a good one.
        same_ranks: refuses to go on with another number of processes than there were.
    """

    def __init__(self, folder: Path, minutes: float, guard: FiniteLoss, *, same_ranks: bool = False):
        self.folder = folder
        self.seconds = 60 * minutes
        self.guard = guard
        self.same_ranks = same_ranks
        self._loader_state: dict[str, int] | None = None  # of the checkpoint that the run goes on from
        self._moment: Moment | None = None  # of the checkpoint that is being written
        self._signal = 0  # that this process has received
        self._stopping = 0  # that all processes follow

    @property
    def path(self) -> Path:
        return self.folder / "last.ckpt"

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.folder = trainer.strategy.broadcast(self.folder)
        self.num_ranks = trainer.world_size

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._listen(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._listen(trainer)
        self._saved_at = time.monotonic()
        self.guard.last_good = Path(trainer.ckpt_path) if trainer.ckpt_path else None
        # Lightning would, but not where the length of the schedule was asked for: the loader was there too early.
        if self._loader_state is not None:
            trainer.train_dataloader.load_state_dict(self._loader_state)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._stop_if(self._stopping, trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_last_batch or not _between_steps(trainer):
            return  # after the last batch comes a validation or the end of the epoch
        due = self._agree(trainer, time.monotonic() - self._saved_at >= self.seconds)
        if due or self._stopping:
            self._save(trainer, "step")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking and _between_steps(trainer):
            self._agree(trainer)
            self._save(trainer, "validation")

    def on_validation_batch_end(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        # Each process for itself: their numbers of batches may differ here. The checkpoint is written already.
        self._stop_if(self._signal, trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._agree(trainer)
        self._save(trainer, "epoch")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop_if(self._stopping, trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """The processes that this one has started would wait for it in vain."""
        for process in getattr(trainer.strategy.launcher, "procs", []):
            try:
                process.wait(SECONDS_TO_SPEAK)
            except subprocess.TimeoutExpired:
                process.kill()

    def state_dict(self) -> dict[str, Any]:
        return {"moment": self._moment, "num_ranks": self.num_ranks}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["callbacks"].get(self.state_key)
        if state is None:
            return
        if self.same_ranks and state["num_ranks"] != trainer.world_size:
            raise ValueError(
                f"{self.folder} holds a run of {state['num_ranks']} processes, and here are {trainer.world_size}, "
                f"which changes the batch: start as many, or go on all the same with --ckpt_path {self.path}"
            )
        loops = checkpoint["loops"]["fit_loop"]
        (self._loader_state,) = loops["state_dict"]["combined_loader"]
        if state["moment"] == "epoch" or loops["epoch_loop.batch_progress"]["is_last_batch"]:
            self._loader_state["samples"] = 0  # of the next epoch
        mend_progress(loops, state["moment"], by_steps=trainer.max_steps != -1)

    def _listen(self, trainer: Trainer) -> None:
        """Lightning listens too, but lets each process follow by itself, in the middle of a step; it comes first."""

        def note(signum: int, frame: FrameType | None) -> None:
            self._signal = signum
            for process in getattr(trainer.strategy.launcher, "procs", []):
                process.send_signal(signum)

        for signum in STOPPING:
            signal.signal(signum, note)

    def _agree(self, trainer: Trainer, due: bool = False) -> bool:
        """Whether rank 0 finds a checkpoint due. A signal that one process received, all follow from here on."""
        mine = [due and trainer.is_global_zero, self._signal]
        common = torch.tensor(mine, dtype=torch.int32, device=trainer.strategy.root_device)
        if trainer.world_size > 1:
            torch.distributed.all_reduce(common, torch.distributed.ReduceOp.MAX)
        due, self._stopping = common.tolist()
        return bool(due)

    def _save(self, trainer: Trainer, moment: Moment) -> None:
        if trainer.fast_dev_run:
            return
        self.guard.check(trainer, weights=True)
        self._moment = moment
        trainer.save_checkpoint(self.path)
        self._moment = None
        self._saved_at = time.monotonic()
        if self.path.exists():
            self.guard.last_good = self.path

    def _stop_if(self, signum: int, trainer: Trainer) -> None:
        if signum:
            name = signal.Signals(signum).name
            goes_on = f"the same command goes on from {self.path}" if self.path.exists() else "nothing is written yet"
            raise Stopped(signum, f"stopped by {name} after step {trainer.global_step}; {goes_on}")


def _between_steps(trainer: Trainer) -> bool:
    """Of the optimiser: no gradients wait for more batches."""
    return trainer.is_last_batch or (trainer.fit_loop.batch_idx + 1) % trainer.accumulate_grad_batches == 0


def mend_progress(loops: dict[str, Any], moment: Moment | None, *, by_steps: bool) -> None:
    """Changes the counters of a checkpoint, so that Lightning goes on from that moment.

    Without it, a validation that was about to begin would be left out; and a run with max_steps (`by_steps`) would
    end the epoch a second time, or miscount the steps of its logs.
    """
    validation = loops["epoch_loop.val_loop.batch_progress"]["total"]
    if moment == "validation":  # as if it were interrupted in its first batch: it begins again
        validation |= {"ready": 1, "started": 1, "processed": 0, "completed": 0}
    elif moment is not None:  # none is interrupted, also where an earlier one was
        validation |= dict.fromkeys(validation, validation["completed"])
    if moment == "epoch" and by_steps:  # as if the next epoch had been interrupted before its first batch
        for epochs in (loops["epoch_progress"]["total"], loops["epoch_progress"]["current"]):
            epochs["completed"] = epochs["processed"]
        batches = loops["epoch_loop.batch_progress"]
        batches["current"] = dict.fromkeys(batches["current"], 0)
        batches["is_last_batch"] = False
        batches["total"]["started"] -= 1
        loops["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1


class AtomicIO(TorchCheckpointIO):
    """Writes a checkpoint beside the one that it replaces, which stays where that fails, as on a full disk: there is a
    warning, and the training goes on."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        content = io.BytesIO()  # torch hides errors of writing behind its own
        torch.save(checkpoint, content)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as partial, partial.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            kept = "the one of before is kept" if path.exists() else "there is none yet"
            rank_zero_warn(
                f"{path}: this checkpoint of {len(content.getbuffer()) / 1e6:.0f} MB could not be written "
                f"({error.strerror}); {kept}. The training goes on and tries again at the next one."
            )
