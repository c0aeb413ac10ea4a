"""Plots of sweeps, a panel for each: accuracy by variant with its difference to the baseline, and learning curves."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nlvideo.ablation.plan import Plan
from nlvideo.ablation.results import Result
from nlvideo.figure import save_figure, styled

NAMED_CURVES = 20
LINES = ("-", "--", ":", "-.")  # one more for each time that the colours are used up
CAPTION = (
    "Large: mean of the seeds at video level; small: each seed; squares: clip level. Bars: 95 % intervals "
    "over {over}.\n"
    "Left, of a variant's own accuracy, cut at 0 and 100 %; right, of its paired difference to the baseline (line)."
)


@styled
def plot_accuracy(panels: Sequence[tuple[Plan, Sequence[Result]]], output: Path) -> None:
    """Plot accuracy.png and .pdf: a row for each variant, in the sweep's order from top to bottom.

    On the left top-1 accuracy at video level, with its interval (`Result.interval`) and a dot for each seed, and at
    clip level; on the right the difference to the baseline with its interval.
    """
    heights = [0.55 + 0.2 * len(results) for _, results in panels]
    figure = Figure(figsize=(7, sum(heights) + 0.6))
    rows = figure.subplots(len(panels), 2, sharey="row", sharex="col", squeeze=False, height_ratios=heights)
    for axes, (plan, results) in zip(rows, panels, strict=True):
        for y, result in enumerate(results):
            _draw_accuracy(axes[0], y, result)
            if result.difference:
                _draw_interval(axes[1], y, result.difference.mean, (result.difference.low, result.difference.high))
        axes[0].set_yticks(range(len(results)), [result.variant for result in results], parse_math=False)
        axes[0].set_ylim(len(results) - 0.5, -0.5)
        axes[0].set_title(plan.sweep.name)
        axes[1].axvline(0, color="black", linewidth=0.8)
        for axis in axes:
            axis.grid(axis="y", visible=False)
            axis.tick_params(axis="y", length=0)
    rows[-1, 0].set_xlabel("top-1 accuracy, %")
    rows[-1, 1].set_xlabel("difference to the baseline, points")
    seeds = {len(result.scores["video_top1"]) for _, results in panels for result in results} - {0}
    over = {True: "seeds and videos", False: "the videos alone, where one seed is finished"}
    caption = CAPTION.format(over="; over ".join(over[several] for several in sorted({n > 1 for n in seeds})[::-1]))
    figure.supxlabel(caption, fontsize=6.5, ha="left", x=0.01, color="#444444")
    save_figure(figure, output / "accuracy.png")


def _draw_accuracy(axis: Axes, y: int, result: Result) -> None:
    if not result.scores["video_top1"]:
        return
    _draw_interval(axis, y, result.mean("video_top1"), result.interval)
    seeds = [100 * score for score in result.scores["video_top1"]]
    if len(seeds) > 1:
        axis.plot(seeds, [y] * len(seeds), "o", color="white", markeredgecolor="C0", markersize=2.5, zorder=3)
    axis.plot(100 * result.mean("clip_top1"), y, "s", color="C1", markersize=3, markerfacecolor="none")


def _draw_interval(axis: Axes, y: int, mean: float, interval: tuple[float, float]) -> None:
    """Draw a mean and its interval, in percent."""
    axis.plot([100 * interval[0], 100 * interval[1]], [y, y], color="C0", solid_capstyle="butt")
    axis.plot(100 * mean, y, "o", color="C0", markersize=5)


@styled
def plot_curves(plans: Sequence[Plan], output: Path) -> None:
    """Plot curves.png and .pdf: training loss and accuracy at clip level of every run, a look for each variant."""
    figure = Figure(figsize=(7.5, 2.6 * len(plans)))
    rows = figure.subplots(len(plans), 2, squeeze=False)
    for (loss, top1), plan in zip(rows, plans, strict=True):
        for (colour, line), row in zip(_looks(), plan.rows, strict=False):
            label = row.variant.name
            for run in row.runs:
                metrics = run.folder(output) / "metrics.csv"
                if not metrics.is_file():
                    continue
                table = pd.read_csv(metrics)
                for axis, column, scale in ((loss, "train/loss_epoch", 1), (top1, "val/clip_top1", 100)):
                    if column in table:
                        points = table[["epoch", column]].dropna()
                        axis.plot(points["epoch"] + 1, scale * points[column], line, color=colour, lw=1, label=label)
                label = None  # once in the legend
        loss.set(title=f"{plan.sweep.name}: training", xlabel="epoch", ylabel="loss")
        for axis in (loss, top1):
            axis.locator_params(axis="x", integer=True)
        top1.set(title=f"{plan.sweep.name}: validation", xlabel="epoch", ylabel="top-1 accuracy, clip level, %")
        if len(plan.rows) <= NAMED_CURVES and top1.get_legend_handles_labels()[0]:
            top1.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    save_figure(figure, output / "curves.png")


def _looks():
    """Return pairs of a colour and a line's dashes, endlessly."""
    colours = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    return cycle((colour, line) for line in LINES for colour in colours)
