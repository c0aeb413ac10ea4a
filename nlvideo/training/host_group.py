"""Agreement of processes on a few numbers, between their hosts: no GPU takes part in it or waits for it."""

from collections.abc import Callable
from datetime import timedelta

import torch
from torch import distributed


class HostGroup:
    """All processes of a run, talking over gloo. With one process nothing is sent.

    Args:
        timeout: for one that waits for the others.
    """

    def __init__(self, timeout: timedelta):
        self.timeout = timeout
        self._group: distributed.ProcessGroup | None = None

    def connect(self) -> None:
        """Open the connections once there are several processes. A collective call."""
        if self._group is None and distributed.is_available() and distributed.is_initialized():
            self._group = distributed.new_group(backend="gloo", timeout=self.timeout)

    def start_max(self, *numbers: int) -> Callable[[], list[int]]:
        """Send this process's numbers; the function returned waits for the largest of all. A collective call."""
        values = torch.tensor(numbers, dtype=torch.int64)
        if self._group is None:
            return values.tolist
        work = distributed.all_reduce(values, distributed.ReduceOp.MAX, group=self._group, async_op=True)

        def wait() -> list[int]:
            work.wait()
            return values.tolist()

        return wait

    def max(self, *numbers: int) -> list[int]:
        """Return the largest of all processes, for each number. A collective call."""
        return self.start_max(*numbers)()
