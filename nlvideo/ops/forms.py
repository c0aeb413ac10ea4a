"""Which form of an operation is computed."""

from collections.abc import Iterator
from contextlib import contextmanager

_explicit = False


@contextmanager
def explicit_forms() -> Iterator[None]:
    """Compute every operation in its explicit form within this context: plain products with the N x M matrix.

    For counting multiply-adds as papers do, and for exporting to runtimes that do not know nlvideo's operators.
    """
    global _explicit
    before, _explicit = _explicit, True
    try:
        yield
    finally:
        _explicit = before


def explicit_forms_required() -> bool:
    """Return whether `explicit_forms` is active."""
    return _explicit
