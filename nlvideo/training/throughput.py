"""How fast a training goes: a line and a row of metrics for each log step."""

import resource
import sys
import time
from datetime import timedelta
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from nlvideo.console import console

KILOBYTES = 1 if sys.platform == "darwin" else 1024  # unit of ru_maxrss


class Throughput(Callback):
    """Prints and logs, as means since the last log step:

    - ``speed/clips_per_s``: clips trained on each second, of all processes together.
    - ``speed/data_ms``: of a batch, how long the training waited for it. Near 0 where the loader keeps up.
    - ``speed/step_ms``: of a batch, the rest: forward, backward and optimiser.
    - ``speed/peak_GB``: the most memory so far: of the GPU (tensors), or of this process on the CPU.

    Clocks are read on the host and nothing waits for the GPU: where it lags behind the host, the two times tell less
    than their sum, which the log step itself keeps true, as it waits for the loss. Validations are left out of all of
    them, and counted in the time that is left.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started, self.first_step = time.monotonic(), trainer.global_step
        self.step = trainer.global_step
        self._begin_interval()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.ended = time.monotonic()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.began = time.monotonic()
        self.waited += self.began - self.ended

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.ended = time.monotonic()
        self.worked += self.ended - self.began
        self.batches += 1
        self.clips += len(batch.label)
        stepped, self.step = trainer.global_step > self.step, trainer.global_step
        if stepped and trainer.log_every_n_steps and self.step % trainer.log_every_n_steps == 0:
            self._report(trainer, pl_module)
            self._begin_interval()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.ended = time.monotonic()

    def _begin_interval(self) -> None:
        self.ended = time.monotonic()
        self.waited = self.worked = 0.0
        self.batches = self.clips = 0

    def _report(self, trainer: Trainer, pl_module: LightningModule) -> None:
        values = {
            "clips_per_s": trainer.world_size * self.clips / (self.waited + self.worked),
            "data_ms": 1000 * self.waited / self.batches,
            "step_ms": 1000 * self.worked / self.batches,
            "peak_GB": peak_bytes(pl_module.device) / 1e9,
        }
        pl_module.log_dict({f"speed/{name}": value for name, value in values.items()}, on_step=True, on_epoch=False)
        if trainer.is_global_zero:
            console().print(
                f"step {trainer.global_step}/{trainer.estimated_stepping_batches}  "
                f"loss {trainer.callback_metrics['train/loss_step'].item():.3f}  {values['clips_per_s']:.1f} clips/s  "
                f"data {values['data_ms']:.0f} ms  step {values['step_ms']:.0f} ms  peak {values['peak_GB']:.2f} GB  "
                f"left {self._time_left(trainer)}",
                highlight=False,
            )

    def _time_left(self, trainer: Trainer) -> str:
        """At the pace of this run so far, validations included."""
        steps_left = trainer.estimated_stepping_batches - trainer.global_step
        pace = (time.monotonic() - self.started) / (trainer.global_step - self.first_step)
        seconds = pace * steps_left
        return str(timedelta(seconds=round(seconds))) if seconds < float("inf") else "unknown"


def peak_bytes(device: torch.device) -> int:
    """Of tensors on a GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTES
