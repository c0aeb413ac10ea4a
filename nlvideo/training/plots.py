"""Learning curves of a run."""

from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("Agg")  # no screen needed
from matplotlib import pyplot as plt


def plot_curves(metrics_csv: Path, png: Path) -> None:
    """Draw loss and accuracy of a run over its epochs, from its metrics.csv."""
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
