"""Where tables and lines are printed."""

from rich import get_console
from rich.console import Console

LOG_WIDTH = 120  # characters


def console() -> Console:
    """The terminal, shared with the progress bar, so that what is printed goes above it; or a log: rich takes a file
    for a terminal of 80 characters, and our tables need more."""
    shared = get_console()
    return shared if shared.is_terminal else Console(width=LOG_WIDTH)
