"""Plot of what variants reach against what they cost, with the Pareto front."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nlvideo.ablation.plan import Plan
from nlvideo.ablation.results import Result
from nlvideo.figure import save_figure, styled

LABEL_HEIGHT, LETTER_WIDTH = 9, 5  # pixels at 100 dpi, of the labels' 6.5 points
COSTS = {"GMACs a view": lambda result: result.gmacs, "training and test, minutes": lambda result: result.seconds / 60}


@styled
def plot_cost(panels: Sequence[tuple[Plan, Sequence[Result]]], output: Path) -> None:
    """Plot cost.png and .pdf: accuracy at video level against multiply-adds, and against the measured time of a run.

    The line is the front: the variants that no cheaper one equals. Times are as the machine was: runs side by side
    slow each other down.
    """
    figure = Figure(figsize=(7.5, 2.8 * len(panels)))
    rows = figure.subplots(len(panels), len(COSTS), squeeze=False)
    labels: list[tuple[Axes, list[tuple[float, float]], list[str]]] = []
    for axes, (plan, results) in zip(rows, panels, strict=True):
        finished = [result for result in results if result.scores["video_top1"]]
        for axis, (cost_name, cost_of) in zip(axes, COSTS.items(), strict=True):
            points = [(cost_of(result), 100 * result.mean("video_top1")) for result in finished]
            for point, result in zip(points, finished, strict=True):
                axis.plot(*point, *_marker(plan, result), markersize=5)
            front = [points[i] for i in pareto_front(points)]
            if front:
                axis.plot(*zip(*front, strict=True), drawstyle="steps-post", color="C0", linewidth=0.8, zorder=0)
            axis.set(title=plan.sweep.name, xlabel=cost_name, ylabel="top-1 accuracy, video level, %")
            axis.margins(x=0.15, y=0.12)
            labels.append((axis, points, [result.variant for result in finished]))
    figure.draw_without_rendering()  # so that places in pixels are known
    for axis, points, names in labels:
        _write_labels(axis, points, names)
    save_figure(figure, output / "cost.png")


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return which points (cost, score) are on the front, by rising cost: none that costs as little scores as much."""
    front: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[i][1] > points[front[-1]][1]:
            front.append(i)
    return front


def _marker(plan: Plan, result: Result) -> tuple[str]:
    return ("ks",) if result.variant == plan.sweep.baseline else ("C0o",)


def _write_labels(axis: Axes, points: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    """Write each name beside its point, moved up or down until it covers no other name or point."""
    if not points:
        return
    places = axis.transData.transform(points)  # [points, 2], pixels
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in places]
    for i in np.argsort(-places[:, 1]):
        x, y = places[i]
        width = LETTER_WIDTH * len(names[i])
        left = x + 7 if x + 7 + width < axis.bbox.x1 + 10 else x - 7 - width  # on the other side at the right edge
        for move in sorted(range(-200, 201, 3), key=abs):
            box = (left, y + move - LABEL_HEIGHT / 2, left + width, y + move + LABEL_HEIGHT / 2)
            if not any(_overlap(box, other) for other in taken):
                break
        taken.append(box)
        scale = 72 / axis.figure.dpi  # points a pixel
        axis.annotate(
            names[i],
            points[i],
            ((left - x) * scale, move * scale),
            textcoords="offset points",
            va="center",
            fontsize=6.5,
            parse_math=False,
            arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.5} if abs(move) > LABEL_HEIGHT else None,
        )


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
