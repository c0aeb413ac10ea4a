"""Accuracies and cross entropy of softmax scores, one vote a video: the one code for logs, reports and tools/score.py.

Not torchmetrics': its top-k breaks ties in no fixed order, and its macro average counts a class without videos as 0.

Shapes: n videos, K classes.
"""

import numpy as np


def top_k(scores: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Return whether each label is among the k best classes, bool [n]. Of equal scores the lower class is better.

    Args:
        scores: [n, K].
        labels: int [n].
        k: all are among them if there are no more classes.
    """
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]  # (n, k)
    return (best == labels[:, None]).any(axis=1)


def mean_class(right: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over the classes that have a video of the share that is right.

    Args:
        right: [n].
        labels: int [n].
    """
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return -log of the label's score, float64 [n]. A zero counts as 1e-12, which keeps the mean finite."""
    return -np.log(np.maximum(scores[np.arange(len(labels)), labels].astype(np.float64), 1e-12))


def accuracies(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return top1, top5 and mean_class, from 0 to 1, and loss, of softmax scores [n, K], n at least 1."""
    top1 = top_k(scores, labels, 1)
    return {
        "top1": float(top1.mean()),
        "top5": float(top_k(scores, labels, 5).mean()),
        "mean_class": mean_class(top1, labels),
        "loss": float(cross_entropy(scores, labels).mean()),
    }
