"""The terminal: where lines, tables and progress bars are printed, all as plain text.

Rich would read a "[something]" in a file's or a class's name as markup, and ":cat:" as an emoji. Nothing else in this
package makes a console or a progress bar.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import rich
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LOG_WIDTH = 120  # characters
PLAIN = {"markup": False, "emoji": False, "highlight": False}  # options of a Console

rich.reconfigure(**PLAIN)  # the console that Lightning's progress bar uses too


def console() -> Console:
    """Return the console of standard output.

    On a terminal it is rich's global one, so that what is printed stands above a progress bar. A log is as wide as our
    tables need; rich would take it for a terminal of 80 characters.
    """
    shared = rich.get_console()
    return shared if shared.is_terminal else Console(width=LOG_WIDTH, **PLAIN)


def progress_bar() -> Progress:
    """Return a progress bar on standard error, silent if that is no terminal, gone when it ends."""
    stderr = Console(stderr=True, **PLAIN)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal)


def status(text: str) -> AbstractContextManager:
    """Return a spinner on standard error, silent if that is no terminal, gone when it ends."""
    stderr = Console(stderr=True, **PLAIN)
    return stderr.status(text) if stderr.is_terminal else nullcontext()


def track(items: Iterable, description: str, *, total: int | None = None) -> Iterable:
    """Yield the items and show how many are done.

    Args:
        total: number of items; by default their length, if they have one.
    """
    with progress_bar() as progress:
        yield from progress.track(items, total=total, description=description)
