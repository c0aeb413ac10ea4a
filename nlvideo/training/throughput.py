"""Speed and memory of a training, as means over the steps since the last report."""

import time

import torch

from nlvideo.environment import peak_bytes


class Throughput:
    """Clocks of a training loop.

    They are read on the host, and nothing waits for the GPU: if it lags behind the host, ``data_ms`` and ``step_ms``
    tell less than their sum, which the log step itself keeps true, as it waits for the loss. Validations are left out.
    """

    def __init__(self):
        self.restart()

    def restart(self) -> None:
        """Begin a new interval."""
        self.waited = self.worked = 0.0
        self.batches = self.clips = 0
        self.end_pause()

    def end_pause(self) -> None:
        """Leave out the time since the last batch, as of a validation."""
        self._ended = time.monotonic()

    def start_batch(self) -> None:
        self._began = time.monotonic()
        self.waited += self._began - self._ended

    def end_batch(self, num_clips: int) -> None:
        self._ended = time.monotonic()
        self.worked += self._ended - self._began
        self.batches += 1
        self.clips += num_clips

    def report(self, num_ranks: int, device: torch.device) -> dict[str, float]:
        """Return the means of this interval, and begin the next.

        ``clips_per_s``: clips trained on each second, of all processes together. ``data_ms``: of a batch, how long the
        training waited for it; near 0 if the loader keeps up. ``step_ms``: of a batch, the rest: forward, backward and
        optimizer. ``peak_GB``: the most memory so far, of tensors on a GPU, or of this process on the CPU.
        """
        values = {
            "clips_per_s": num_ranks * self.clips / (self.waited + self.worked),
            "data_ms": 1000 * self.waited / self.batches,
            "step_ms": 1000 * self.worked / self.batches,
            "peak_GB": peak_bytes(device) / 1e9,
        }
        self.restart()
        return values
