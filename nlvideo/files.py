"""Files that are written whole or not at all."""

import functools
import json
import os
import re
import socket
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

HOST = f"{zlib.crc32(socket.gethostname().encode()):08x}"
PARTIAL = re.compile(rf"\.partial-{HOST}-(\d{{1,9}})-.*", re.DOTALL)  # of any process of this host


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name beside `path` to write to; what is written there then takes the place of `path`.

    Readers find the old file or the new one, never half of one, also after a kill. If the writing fails, the old file
    stays. The first write of a process in a folder removes what killed processes have left there.
    """
    _clean(path.parent)
    # The suffix stays last, because formats are chosen by it.
    partial = path.with_name(f".partial-{HOST}-{os.getpid()}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def remove_stale_partials(folder: Path) -> None:
    """Delete the half-written files in a folder whose writers, processes of this host, are dead."""
    for file in folder.iterdir():
        found = PARTIAL.fullmatch(file.name)
        if found and not _is_alive(int(found[1])):
            with suppress(FileNotFoundError, PermissionError):  # another process was faster; another user's file
                file.unlink()


_clean = functools.cache(remove_stale_partials)  # once a process: a folder may hold a data set


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def write_text(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text)


def write_json(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2) + "\n")


def make_writable_folder(folder: Path) -> None:
    """Make the folder if it is not there.

    Raises:
        OSError: no file can be written in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()
