"""Plots of sweeps, a panel for each: accuracy by variant, accuracy against cost, learning curves; PNG and SVG."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pandas as pd

from nlvideo.ablation.plan import Plan
from nlvideo.ablation.results import Result
from nlvideo.files import replacing

matplotlib.use("Agg")  # no screen needed
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

LEVELS = {"video_top1": "video level", "clip_top1": "clip level"}
SIZE = 3.8  # inches of a panel
NAMED_CURVES = 20


def plot_accuracy(panels: Sequence[tuple[Plan, Sequence[Result]]], output: Path) -> None:
    """Plot accuracy.png: the accuracy of each variant at both levels, in the sweep's order.

    Dots are seeds, the dashed line is the baseline. The bar is the 95 % interval of the difference to the baseline,
    drawn around the accuracy at video level and cut at 0 and 100 %.
    """
    longest = max(len(results) for _, results in panels)
    figure, axes = _figure(len(panels), width=max(SIZE, 0.45 * longest + 1.5))
    for axis, (plan, results) in zip(axes, panels, strict=True):
        for metric, label in LEVELS.items():
            marker, colour = ("o", "C0") if metric == "video_top1" else ("s", "C1")
            for x, result in enumerate(results):
                scores = [100 * score for score in result.scores[metric]]
                if not scores:
                    continue
                mean = 100 * result.mean(metric)
                axis.plot([x] * len(scores), scores, marker, color=colour, markersize=3, alpha=0.5)
                axis.plot(x, mean, marker, color=colour, label=label)
                label = None  # once in the legend
                if metric == "video_top1" and result.difference:
                    below, above = difference_bar(result)
                    axis.errorbar(x, mean, [[below], [above]], color=colour, capsize=3)
        baseline = next(result for result in results if result.variant == plan.sweep.baseline)
        if baseline.scores["video_top1"]:
            axis.axhline(100 * baseline.mean("video_top1"), color="C0", linewidth=1, linestyle="--")
        names = [result.variant for result in results]
        axis.set_xticks(range(len(results)), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
        axis.set(title=plan.sweep.name, ylabel="top-1 accuracy, %", xlim=(-0.5, len(results) - 0.5))
        _finish(axis)
    _save(figure, output / "accuracy")


def difference_bar(result: Result) -> tuple[float, float]:
    """Return how far the interval of the difference reaches below and above the accuracy, in percent.

    The interval is one of a difference; moved to the accuracy it could leave [0, 100].
    """
    accuracy, difference = 100 * result.mean("video_top1"), result.difference
    below, above = 100 * (difference.mean - difference.low), 100 * (difference.high - difference.mean)
    return min(below, accuracy), min(above, 100 - accuracy)


def plot_cost(panels: Sequence[tuple[Plan, Sequence[Result]]], output: Path) -> None:
    """Plot cost.png: accuracy at video level against multiply-adds."""
    figure, axes = _figure(len(panels))
    for axis, (plan, results) in zip(axes, panels, strict=True):
        for result in results:
            if not result.scores["video_top1"]:
                continue
            is_baseline = result.variant == plan.sweep.baseline
            mean, std = 100 * result.mean("video_top1"), result.std("video_top1")
            spread = None if std is None else 100 * std
            colour = "black" if is_baseline else "C0"
            axis.errorbar(result.gmacs, mean, spread, fmt="s" if is_baseline else "o", color=colour, capsize=3)
            axis.annotate(result.variant, (result.gmacs, mean), (4, 4), textcoords="offset points", fontsize=7)
        axis.set(title=plan.sweep.name, xlabel="GMACs a view", ylabel="top-1 accuracy, video level, %")
        axis.margins(x=0.3)
        _finish(axis, legend=False)
    _save(figure, output / "cost")


def plot_curves(plans: Sequence[Plan], output: Path) -> None:
    """Plot curves.png: training loss and accuracy at clip level of every run, a colour for each variant."""
    figure, axes = _figure(2 * len(plans))
    for i, plan in enumerate(plans):
        loss, top1 = axes[2 * i : 2 * i + 2]
        colours = matplotlib.colormaps["tab10" if len(plan.rows) <= 10 else "tab20"].colors
        for number, row in enumerate(plan.rows):
            colour, label = colours[number % len(colours)], row.variant.name
            for run in row.runs:
                metrics = run.folder(output) / "metrics.csv"
                if not metrics.is_file():
                    continue
                table = pd.read_csv(metrics)
                for axis, column, scale in ((loss, "train/loss_epoch", 1), (top1, "val/clip_top1", 100)):
                    if column in table:
                        points = table[["epoch", column]].dropna()
                        axis.plot(points["epoch"] + 1, scale * points[column], color=colour, linewidth=1, label=label)
                label = None
        loss.set(title=f"{plan.sweep.name}: training", xlabel="epoch", ylabel="loss")
        top1.set(title=f"{plan.sweep.name}: validation", xlabel="epoch", ylabel="top-1 accuracy, clip level, %")
        for axis in (loss, top1):
            _finish(axis, legend=axis is top1 and len(plan.rows) <= NAMED_CURVES)
    _save(figure, output / "curves")


def _figure(num_panels: int, width: float = SIZE + 1) -> tuple[Figure, list[Axes]]:
    """Return panels in rows of two, or in one row of three."""
    columns = num_panels if num_panels <= 3 else 2
    rows = -(-num_panels // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(width * columns, SIZE * rows), squeeze=False)
    figure.set_layout_engine("constrained")
    for axis in axes.flat[num_panels:]:
        axis.remove()
    return figure, list(axes.flat[:num_panels])


def _finish(axis: Axes, legend: bool = True) -> None:
    axis.grid(alpha=0.3)
    if legend and axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=7)


def _save(figure: Figure, path: Path) -> None:
    """Save a figure as .png and .svg."""
    for kind in ("png", "svg"):
        with replacing(path.with_suffix(f".{kind}")) as partial:
            figure.savefig(partial, dpi=120)
    plt.close(figure)
