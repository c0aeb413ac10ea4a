"""Which process reads which video, so that a process that a video crashes leaves the video's name behind."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from nlvideo.data.manifest import Sample


class InProgress:
    """For each video the process that reads it, in memory shared with the worker processes."""

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
