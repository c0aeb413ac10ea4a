"""Pictures of a run. matplotlib only, without a screen."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")  # no screen needed
from matplotlib import pyplot as plt

NAMED_CLASSES, COUNTED_CLASSES = 60, 20  # more names, or numbers in the cells, cannot be read


def plot_curves(metrics_csv: Path, png: Path) -> None:
    """Loss and accuracy of a run over its epochs, from Lightning's metrics.csv."""
    table = pd.read_csv(metrics_csv)
    panels = {
        "loss": {"train/loss_epoch": "training", "val/clip_loss": "validation, clip level"},
        "top-1 accuracy, %": {"train/top1": "training", "val/clip_top1": "validation, clip level"},
    }
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axis, (title, columns) in zip(axes, panels.items(), strict=True):
        for column, label in columns.items():
            if column not in table:
                continue
            rows = table[["epoch", column]].dropna()
            scale = 100 if "%" in title else 1
            axis.plot(rows["epoch"] + 1, rows[column] * scale, marker="o", markersize=3, label=label)
        axis.set(xlabel="epoch", title=title)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(png, dpi=120)
    plt.close(figure)


def plot_confusion(confusion: np.ndarray, class_names: list[str], png: Path) -> None:
    """Rows are labels, columns predictions; the colour is the share of the row.

    Args:
        confusion: int [K, K].
    """
    num_classes = len(class_names)
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    side = min(4 + 0.22 * num_classes, 14)
    figure, axis = plt.subplots(figsize=(side + 1, side), layout="constrained")
    image = axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the label's videos")
    axis.set(xlabel="prediction", ylabel="label")
    if num_classes <= NAMED_CLASSES:
        axis.set_xticks(range(num_classes), class_names, rotation=90, fontsize=8)
        axis.set_yticks(range(num_classes), class_names, fontsize=8)
    if num_classes <= COUNTED_CLASSES:
        for label in range(num_classes):
            for guess in range(num_classes):
                colour = "white" if share[label, guess] > 0.5 else "black"
                axis.text(guess, label, confusion[label, guess], ha="center", va="center", color=colour, fontsize=8)
    figure.savefig(png, dpi=120)
    plt.close(figure)
