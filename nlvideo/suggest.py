"""The nearest right word for a wrong one."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return "; did you mean ..?" with the nearest of the known words, or "" if none is near."""
    nearest = get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f"; did you mean {nearest[0]}?" if nearest else ""
