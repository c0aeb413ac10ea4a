"""Plot of a confusion matrix."""

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")  # no screen needed
from matplotlib import pyplot as plt

NAMED_CLASSES, COUNTED_CLASSES = 60, 20  # more names, or numbers in the cells, cannot be read


def plot_confusion(confusion: np.ndarray, class_names: list[str], png: Path) -> None:
    """Write a confusion matrix as a picture; the colour is the share of the row.

    Args:
        confusion: int [K, K], row the label, column the prediction.
        class_names: K of them.
        png: file to write.
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
