"""Figures: one look for all, from one style sheet, and saving, as PNG for screens and PDF for papers."""

from pathlib import Path

import matplotlib
from matplotlib import style
from matplotlib.figure import Figure

from nlvideo.files import replacing

matplotlib.use("Agg")  # no screen needed

# Decorates a function that makes a figure and saves it.
styled = style.context(Path(__file__).with_suffix(".mplstyle"))


def save_figure(figure: Figure, path: Path) -> None:
    """Save a figure as `path`, a PNG, and as PDF beside it; call it in a function that is `styled`."""
    for kind in (".png", ".pdf"):
        # A PDF says when it was made: equal figures would be different files.
        about = {"metadata": {"CreationDate": None}} if kind == ".pdf" else {}
        with replacing(path.with_suffix(kind)) as partial:
            figure.savefig(partial, **about)
