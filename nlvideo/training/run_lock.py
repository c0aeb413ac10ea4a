"""One training at a time in a run's folder."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from nlvideo.files import remove_stale_partials, write_json

LOCK, OWNER = ".fit.lock", ".fit.lock.json"


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the folder of a run. The operating system lets go of it when this process ends, however it ends.

    Raises:
        ValueError: if another process holds it, with its host, process id and start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"{folder}: another training runs in this folder ({_owner(folder)}); wait for it, or choose another --name"
        ) from None
    try:
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        remove_stale_partials(folder)
        write_json(folder / OWNER, {"host": socket.gethostname(), "pid": os.getpid(), "since": since})
        yield
    finally:
        (folder / OWNER).unlink(missing_ok=True)
        lock.release()


def _owner(folder: Path) -> str:
    try:
        owner = json.loads((folder / OWNER).read_text())
        return f"process {owner['pid']} on {owner['host']}, since {owner['since']}"
    except (OSError, ValueError, KeyError):  # it is just about to write it
        return "it does not say which"
