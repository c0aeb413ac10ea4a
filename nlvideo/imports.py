"""Importing what takes seconds."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from nlvideo.console import status


@contextmanager
def long_imports() -> Iterator[None]:
    """Import faster, without looking for garbage, which takes a fifth of the time and finds next to none; say so on a
    terminal."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with status("loading PyTorch"):
            yield
    finally:
        if was_enabled:
            gc.enable()
