"""Read with a time limit: a decoder may hang, in a damaged file or on a dead network disk."""

import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeVar

from nlvideo.data.video import DecodeError

Result = TypeVar("Result")

_own = threading.local()  # `thread`: the ReadingThread of each calling thread, while it is free


def run_with_timeout(seconds: float, read: Callable[..., Result], path: Path, **options) -> Result:
    """Return read(path, **options).

    A call that takes longer stays behind in its thread, which Python cannot stop but which does not keep the process
    alive; its memory stays in use.

    Raises:
        DecodeError: if it takes longer.
    """
    thread = getattr(_own, "thread", None)
    if thread is None or thread.pid != os.getpid():  # a forked process has none of its parent's threads
        thread = ReadingThread()
    _own.thread = None
    thread.calls.put(partial(read, path, **options))
    try:
        result, error = thread.outcomes.get(timeout=max(seconds, 0))
    except Empty:
        thread.calls.put(None)  # it ends if the call ever does
        raise DecodeError(f"{path}: reading it took longer than {seconds:g} seconds") from None
    _own.thread = thread
    if error is not None:
        raise error
    return result


class ReadingThread(threading.Thread):
    """Calls functions, one after another. (A thread for each call costs 2 ms of CPU time a clip: its memory is new.)"""

    def __init__(self):
        super().__init__(daemon=True)
        self.pid = os.getpid()
        self.calls: SimpleQueue[Callable | None] = SimpleQueue()
        self.outcomes: SimpleQueue[tuple[object, BaseException | None]] = SimpleQueue()
        self.start()

    def run(self) -> None:
        while (call := self.calls.get()) is not None:
            try:
                outcome = call(), None
            except BaseException as error:  # raised in the calling thread
                outcome = None, error
            self.outcomes.put(outcome)
            del call, outcome  # frames are not kept until the next call
