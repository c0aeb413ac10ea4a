"""Who runs what: of several processes, on one machine or on several that share a folder, one has a run at a time."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def claim(path: Path, *, wait: bool = False) -> Iterator[int | None]:
    """Holds the lock of a file: gives its descriptor, or None where another process has it.

    The kernel frees the lock when the last process that has the descriptor ends, however it ends. Whoever passes it on
    to a child so keeps the claim for the child's life too: a training that outlives its killed runner is not joined by
    a second one.

    Args:
        path: of the lock's file; its text names the holder.
        wait: until it is free.

    Raises:
        ValueError: the file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield None
            return
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            raise ValueError(
                f"{path.parent}: its file system has no locks ({error.strerror}), so runners could not share the work; "
                "put the sweep elsewhere, or mount with locks (Lustre: -o flock)"
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{socket.gethostname()}, process {os.getpid()}".encode())
        yield descriptor
    finally:
        os.close(descriptor)


def holder(path: Path) -> str:
    """Who had the lock last."""
    return path.read_text() if path.is_file() else ""


def is_claimed(path: Path) -> bool:
    """Whether a process has the lock now."""
    if not path.is_file():
        return False
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
