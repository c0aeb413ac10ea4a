"""Videos that fail in training or crash the process that reads them.

Each that cannot be read is reported once, all are counted, and too many stop the run.
"""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from nlvideo.data.manifest import Sample

log = logging.getLogger(__name__)

FIRST_SAMPLES = 20  # if all of these fail, something larger is wrong than a few videos


class TooManyFailuresError(ValueError):
    """So many videos cannot be read that the training would not be of the data that was meant."""


class Failures:
    """Counts in memory that worker processes share with the training process.

    Args:
        max_failed: the largest part of an epoch that may fail.
    """

    def __init__(self, samples: Sequence[Sample], max_failed: float):
        self.samples = samples
        self.max_failed = max_failed
        self._any_read = torch.zeros(1, dtype=torch.bool).share_memory_()
        # One number for each video, since only one worker at a time changes it.
        self._num_failed = torch.zeros(len(samples), dtype=torch.int32).share_memory_()
        self._reported = torch.zeros(len(samples), dtype=torch.bool).share_memory_()
        self._failed_before = 0
        self._epoch_samples = len(samples)

    def note_read(self) -> None:
        self._any_read[0] = True

    def count_failed(self, index: int) -> None:
        self._num_failed[index] += 1

    def report(self, index: int, error: Exception) -> None:
        """Log the video, the first time that it fails."""
        if not self._reported[index]:
            self._reported[index] = True
            log.warning("replaced by another video of its class: %s", error)

    def start_epoch(self, num_samples: int, failed_earlier: int = 0) -> None:
        """Begin to count; `failed_earlier` failed in this epoch before the run was interrupted."""
        self._failed_before = int(self._num_failed.sum()) - failed_earlier
        self._epoch_samples = num_samples

    @property
    def in_epoch(self) -> int:
        """Samples of this epoch so far whose video could not be read."""
        return int(self._num_failed.sum()) - self._failed_before

    def check(self) -> None:
        """Raise TooManyFailuresError if the first 20 samples all failed, or more of this epoch than `max_failed`."""
        failed = self.in_epoch
        if not self._any_read and failed >= FIRST_SAMPLES:
            raise TooManyFailuresError(self.summary(f"none of the first {failed} videos could be read"))
        if failed > self.max_failed * self._epoch_samples:
            of = f"{failed} of the {self._epoch_samples} samples of this epoch could not be read"
            raise TooManyFailuresError(self.summary(f"{of}, more than data.max_failed {self.max_failed:g} allows"))

    def summary(self, what: str) -> str:
        example = self.samples[int(self._reported.int().argmax())].path
        return (
            f"{what}, {example} for one: see the warnings above; check data.root and the paths in the manifest, remove "
            "such videos from it (tools/check_videos.py does), or raise data.max_failed"
        )


class InProgress:
    """Which process reads which video, in memory shared with the worker processes."""

    def __init__(self, samples: Sequence[Sample]):
        self.samples = samples
        self._readers = torch.zeros(len(samples), dtype=torch.int32).share_memory_()  # process ids; 0 for nobody

    @contextmanager
    def reading(self, index: int) -> Iterator[None]:
        """Mark a video as being read by this process."""
        self._readers[index] = os.getpid()
        try:
            yield
        finally:
            self._readers[index] = 0

    def read_by_dead_workers(self, error: BaseException) -> list[str]:
        """Return the paths that were being read by the processes that a DataLoader's error says are dead."""
        dead = re.match(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\)", str(error))
        if not dead:
            return []
        rows = torch.isin(self._readers, torch.tensor([int(pid) for pid in dead[1].split(",")], dtype=torch.int32))
        return [str(self.samples[row].path) for row in rows.nonzero().flatten().tolist()]
