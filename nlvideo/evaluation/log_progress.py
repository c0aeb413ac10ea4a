"""Progress of an evaluation in a log, where no progress bar can be."""

import time
from datetime import timedelta
from typing import Any

from lightning import Callback, LightningModule, Trainer

from nlvideo.console import console

SECONDS = 60.0  # between two lines


class LogProgress(Callback):
    """Prints how much of a ``validate`` or ``test`` is done, and the time left, once a minute."""

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = self._last = time.monotonic()

    on_test_start = on_validation_start

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._print(trainer, batch_idx + 1, trainer.num_val_batches[0])

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._print(trainer, batch_idx + 1, trainer.num_test_batches[0])

    def _print(self, trainer: Trainer, num_done: int, num_batches: int) -> None:
        now = time.monotonic()
        if now - self._last < SECONDS or not trainer.is_global_zero:
            return
        self._last = now
        left = timedelta(seconds=round((now - self._started) / num_done * (num_batches - num_done)))
        console().print(f"{num_done} of {num_batches} batches scored, left {left}")
