"""Locks of runs: of several processes on one folder, also of several machines, one has a run at a time.

``python -m nlvideo.ablation.locks FILE fit ..`` runs a command of nlvideo that holds a lock itself, so a training that
outlives its killed runner keeps it, and no second one joins.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from nlvideo.__main__ import main


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold the lock of a file if it is free, and yield whether it was. It is freed when this process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    with try_lock(path) as free:
        return not free


if __name__ == "__main__":
    with FileLock(sys.argv[1], timeout=0):
        status = main(sys.argv[2:])
    sys.exit(status)
