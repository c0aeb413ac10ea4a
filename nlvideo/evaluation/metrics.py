"""How good scores are, with one vote a video. Letters: n videos, K classes."""

import numpy as np


def top_k(scores: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """bool [n]: whether the label is among the k best classes, or all of them where there are fewer; of equal scores
    the lower class counts as the better."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return (best == labels[:, None]).any(axis=1)


def mean_class(right: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes that have a video of the share that is right."""
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def negative_log(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """[n]: cross entropy of probabilities. A zero counts as 1e-12, which keeps the mean finite."""
    return -np.log(np.maximum(scores[np.arange(len(labels)), labels].astype(np.float64), 1e-12))


def accuracies(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Of softmax scores [n, K], n at least 1, and labels [n]: top1, top5 and mean_class, from 0 to 1, and loss."""
    top1 = top_k(scores, labels, 1)
    return {
        "top1": float(top1.mean()),
        "top5": float(top_k(scores, labels, 5).mean()),
        "mean_class": mean_class(top1, labels),
        "loss": float(negative_log(scores, labels).mean()),
    }
