"""Agreement of processes on a few numbers, between their hosts: no GPU takes part in it or waits for it."""

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

    def start_max(self, *numbers: int) -> "PendingMax":
        """Send this process's numbers without waiting for the others'. A collective call."""
        values = torch.tensor(numbers, dtype=torch.int64)
        if self._group is None:
            return PendingMax(values, None)
        work = distributed.all_reduce(values, distributed.ReduceOp.MAX, group=self._group, async_op=True)
        return PendingMax(values, work)

    def max(self, *numbers: int) -> list[int]:
        """Return the largest of all processes, for each number. A collective call."""
        return self.start_max(*numbers).wait()


class PendingMax:
    """Numbers on their way between the processes."""

    def __init__(self, values: torch.Tensor, work: distributed.Work | None):
        self._values, self._work = values, work

    def wait(self) -> list[int]:
        if self._work is not None:
            self._work.wait()
        return self._values.tolist()
