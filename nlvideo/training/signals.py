"""Signals that ask a training to stop: Ctrl-C, and those of batch systems."""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class StopSignals:
    """Notes a signal in place of ending at once. A second Ctrl-C ends the process as if nobody listened.

    Attributes:
        received: the latest signal's number, 0 before any.
    """

    def __init__(self):
        self.received = 0
        self._pid = os.getpid()
        self._children: list[int] = []

    def listen(self, children: Iterable[int] = ()) -> None:
        """Listen from now on.

        Args:
            children: process ids of ranks that this process started. A batch system may tell only the first process;
                Ctrl-C reaches all of them by itself.
        """
        self._children = list(children)
        for signum in STOPPING:
            signal.signal(signum, self._note)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a decoding process, which has inherited this handler
            if signum != signal.SIGINT:  # which the terminal sends to all; whoever started it ends it
                signal.signal(signum, signal.SIG_DFL)
                os.kill(os.getpid(), signum)
            return
        self.received = signum
        if signum == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            return
        for pid in self._children:
            with suppress(ProcessLookupError):
                os.kill(pid, signum)
