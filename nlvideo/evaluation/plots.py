"""Plots of predictions: a confusion matrix, and what variants cost in each class."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nlvideo.figure import save_figure, styled

NAMED_CLASSES, COUNTED_CLASSES = 60, 20  # more names, or numbers in the cells, cannot be read
NAMED_COSTS = 40  # classes of plot_class_costs


@styled
def plot_confusion(confusion: np.ndarray, class_names: list[str], png: Path) -> None:
    """Write a confusion matrix as a picture, PNG and PDF; the colour is the share of the row.

    Args:
        confusion: int [K, K], row the label, column the prediction.
        class_names: K of them.
        png: file to write.
    """
    num_classes = len(class_names)
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    side = min(4 + 0.22 * num_classes, 14)
    figure = Figure(figsize=(side + 1, side))
    axis = figure.subplots()
    image = axis.imshow(share, vmin=0, vmax=1)
    axis.grid(False)
    figure.colorbar(image, label="share of the label's videos")
    axis.set(xlabel="prediction", ylabel="label")
    if num_classes <= NAMED_CLASSES:
        axis.set_xticks(range(num_classes), class_names, rotation=90)
        axis.set_yticks(range(num_classes), class_names)
    if num_classes <= COUNTED_CLASSES:
        for label in range(num_classes):
            for guess in range(num_classes):
                colour = "white" if share[label, guess] > 0.5 else "black"
                axis.text(guess, label, confusion[label, guess], ha="center", va="center", color=colour)
    save_figure(figure, png)


@styled
def plot_class_costs(costs: Mapping[str, Sequence[Mapping[str, Any]]], png: Path) -> None:
    """Write what variants cost in each class as a picture, PNG and PDF, a panel for each variant.

    Args:
        costs: by variant, for each class: class, videos, cost, low and high, see `comparison.Comparison.class_costs`.
        png: file to write.
    """
    mean = np.mean([[row["cost"] for row in rows] for rows in costs.values()], axis=0)  # of each class
    shown = np.argsort(mean, kind="stable")[-NAMED_COSTS:]  # the largest on top
    size = (2 + 2 * len(costs), 1.4 + 0.22 * len(shown))
    figure = Figure(figsize=size)
    axes = figure.subplots(1, len(costs), sharex=True, sharey=True, squeeze=False)
    for axis, (name, rows) in zip(axes[0], costs.items(), strict=True):
        for y, row in enumerate(rows[i] for i in shown):
            cost, low, high = (100 * row[key] for key in ("cost", "low", "high"))
            axis.plot([low, high], [y, y], color="C0")
            axis.plot(cost, y, "o", color="C0")
        axis.axvline(0, color="black", linewidth=1)
        axis.set(title=name, xlabel="top-1 lost, points")
    left, right = axes[0, 0].get_xlim()
    axes[0, 0].set_xlim(min(left, -5), max(right, 5))
    classes = [next(iter(costs.values()))[i] for i in shown]
    names = [f"{row['class']} ({row['videos']})" for row in classes]
    axes[0, 0].set_yticks(range(len(names)), names, parse_math=False)
    counted = (
        "classes" if len(shown) == len(mean) else f"{len(shown)} of {len(mean)} classes, those with the largest mean"
    )
    figure.supylabel(f"{counted} (videos)")
    save_figure(figure, png)
