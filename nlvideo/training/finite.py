"""Stopping a training whose loss or weights are no finite numbers, with the videos of the batch where that began."""

from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from nlvideo.training.host_group import HostGroup

SHOWN = 20  # videos of a batch
LOOK_EVERY = 50  # batches, if steps are not logged
NEVER = 2**62  # a step


class FiniteLoss(Callback):
    """Raises ValueError if a loss is not finite, or weights that a checkpoint is about to hold are not.

    The losses stay on their device: they are looked at with each log step and before each checkpoint, so that no step
    has to wait for the one before.

    Args:
        last: the checkpoint that a run which stops can go on from.
        hosts: the processes of the run.
    """

    def __init__(self, last: Path, hosts: HostGroup):
        self.last = last
        self.hosts = hosts
        self._first_bad: Tensor | None = None  # place in `_batches`, from 1; 0 while all are finite
        self._batches: list[tuple[int, Tensor]] = []  # since the last look: step and rows of the manifest

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.hosts.connect()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: dict[str, Tensor], batch: Any, batch_idx: int
    ) -> None:
        self._batches.append((trainer.global_step, batch.index))
        first_bad = self._first_bad if self._first_bad is not None else torch.zeros_like(outputs["loss"])
        bad = (first_bad == 0) & ~outputs["loss"].isfinite()
        self._first_bad = first_bad.masked_fill(bad, len(self._batches))
        if (batch_idx + 1) % (trainer.log_every_n_steps or LOOK_EVERY) == 0:
            self._check(trainer, "loss", 0 if self._first_bad is None else int(self._first_bad))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Let no bad state take the place of a good one: a finite loss may have infinite gradients."""
        first_bad = 0 if self._first_bad is None else int(self._first_bad)
        what = "loss"
        if not first_bad and not finite(pl_module.net):
            first_bad, what = max(len(self._batches), 1), "weights"
        self._check(trainer, what, first_bad)

    def _check(self, trainer: Trainer, what: str, first_bad: int) -> None:
        """Raise ValueError in each process if one found something. A collective call."""
        # The earliest step of all processes, and in it a loss before the weights that it spoils.
        mine = NEVER
        if first_bad:
            mine = 2 * (self._batches[first_bad - 1][0] if self._batches else trainer.global_step) + (what == "weights")
        (latest,) = self.hosts.max(-mine)
        earliest = -latest
        if earliest == NEVER:
            del self._batches[:-1]  # the last one's gradients may show in the weights yet
            self._first_bad = None
            return
        where = f"not finite from step {earliest // 2} on"
        if earliest != mine:
            raise ValueError(f"in another process, which names the videos, the loss or the weights are {where}")
        rows = self._batches[first_bad - 1][1].tolist() if self._batches else []
        samples = trainer.datamodule.samples["train"]
        videos = ", ".join(f"{samples[row].path} (row {row})" for row in rows[:SHOWN])
        last = self.last if self.last.is_file() else trainer.ckpt_path
        kept = f"the last good checkpoint is {last}" if last else "there is no checkpoint yet"
        raise ValueError(
            f"{what} {where}, in the batch of {videos}; {kept}. Go on from it with a lower --model.optimizer.lr and "
            "--ckpt_path, or take out videos that are at fault"
        )


def finite(net: nn.Module) -> bool:
    """Return whether all parameters are finite numbers, asking their device once."""
    return bool(torch.stack([parameter.isfinite().all() for parameter in net.parameters()]).all())
