"""Picture of attention statistics: a panel for each measure, and the weight by distance in time."""

import math
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib.figure import Figure

from nlvideo.figure import save_figure, styled

PANELS = (
    *("own_frame", "frames", "pixels", "entropy", "query_dependence", "jensen_shannon", "output_distance", "added"),
    *("gate_mean", "gate_spread"),
)
COLUMNS = 3
TITLE_WIDTH = 30  # characters that a panel has room for


@styled
def save_stats(
    table: list[dict[str, Any]], lags: dict[str, dict[str, list[float]]], names: dict[str, str], path: Path
) -> None:
    """Save means with their intervals, and the values of uniform attention as ticks.

    Args:
        table: lines of `stats_report.summarize`.
        lags: by block, the share of weight on frames that come 1 - T to T - 1 frames of its map later.
        names: of the measures.
    """
    shown = [measure for measure in PANELS if any(line["measure"] == measure for line in table)]
    num_panels = len(shown) + len(lags)
    num_rows = math.ceil(num_panels / COLUMNS)
    blocks = list(dict.fromkeys(line["block"] for line in table))
    height = max(1.9, 0.3 * len(blocks) + 0.9)
    figure = Figure(figsize=(8, height * num_rows))
    axes = figure.subplots(num_rows, COLUMNS, squeeze=False).flatten()
    for measure, axis in zip(shown, axes, strict=False):
        lines = [line for line in table if line["measure"] == measure and not math.isnan(line["mean"])]
        for line in lines:
            y = blocks.index(line["block"])
            axis.plot(line["mean"], y, "o", color="C0")
            axis.plot([line["low"], line["high"]], [y, y], color="C0")
            if not math.isnan(line["uniform"]):
                axis.plot(line["uniform"], y, "|", color="C1", markersize=12, markeredgewidth=2)
        axis.set_title(fill(names[measure], TITLE_WIDTH))
        axis.set_yticks(range(len(blocks)), blocks)
        axis.set_ylim(len(blocks) - 0.5, -0.5)
        axis.set_xlim(left=0)
        axis.grid(axis="y", visible=False)
    for (block, of_block), axis in zip(lags.items(), axes[len(shown) :], strict=False):
        last = len(of_block["lags"]) // 2
        offsets = range(-last, last + 1)
        axis.plot(offsets, of_block["lags"], "o-", color="C0", markersize=3, label="measured")
        axis.plot(offsets, of_block["lags_uniform"], color="C1", label="uniform")
        axis.set_title(f"{block}: share of the weight")
        axis.set_xlabel("frames of the map later")
        axis.set_ylim(bottom=0)
        axis.legend()
    for axis in axes[num_panels:]:
        axis.remove()
    save_figure(figure, path)
