"""Plot of the gains of one network over another by class."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from nlvideo.figure import save_figure, styled

NUM_SHOWN = 40  # classes; half of them those with the largest gains, half with the smallest


@styled
def plot_class_gains(classes: pd.DataFrame, png: Path, title: str = "first less second") -> None:
    """Write the gains by class as a picture, PNG and PDF: points with 95 % intervals, filled if `p_holm` < 0.05.

    Args:
        classes: see `pairs.PairComparison`.
        png: file to write.
        title: of the picture.
    """
    shown = classes
    if len(classes) > NUM_SHOWN:
        shown = pd.concat([classes.head(NUM_SHOWN // 2), classes.tail(NUM_SHOWN // 2)])
    figure = Figure(figsize=(6.5, 1.4 + 0.22 * len(shown)))
    axis = figure.subplots()
    for y, (_, row) in enumerate(shown.iloc[::-1].iterrows()):
        axis.plot([100 * row["low"], 100 * row["high"]], [y, y], color="C0")
        face = "C0" if row["p_holm"] < 0.05 else "white"
        axis.plot(100 * row["gain"], y, "o", color="C0", markerfacecolor=face, markersize=5)
    axis.axvline(0, color="black", linewidth=1)
    left, right = axis.get_xlim()
    axis.set(title=title, xlabel="top-1 gained, points", xlim=(min(left, -5), max(right, 5)))
    names = [f"{row['class']} ({row['videos']})" for _, row in shown.iloc[::-1].iterrows()]
    axis.set_yticks(range(len(names)), names, parse_math=False)
    counted = "classes" if len(shown) == len(classes) else f"{len(shown)} of {len(classes)} classes, both ends"
    axis.set_ylabel(f"{counted} (videos)")
    save_figure(figure, png)
