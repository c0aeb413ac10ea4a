"""What predictions are worth. numpy only, without the videos or the network.

Letters: n videos, K classes.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nlvideo.evaluation.metrics import mean_class, top_k
from nlvideo.evaluation.predictions import Predictions


def confusion_matrix(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """int64 [K, K]: row the label, column the prediction."""
    num_classes = scores.shape[1]
    return np.bincount(labels * num_classes + scores.argmax(axis=1), minlength=num_classes**2).reshape(
        num_classes, num_classes
    )


def confused_pairs(confusion: np.ndarray, count: int) -> list[tuple[int, int, int]]:
    """The `count` most frequent (label, prediction, videos) that are wrong, most frequent first."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = (np.unravel_index(place, wrong.shape) for place in order)
    return [(int(label), int(guess), int(wrong[label, guess])) for label, guess in pairs if wrong[label, guess]]


def expected_calibration_error(scores: np.ndarray, labels: np.ndarray, num_bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equally wide bins of confidence, weighted by their videos (Guo et
    al., ICML 2017, Eq. 3)."""
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == labels
    bins = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    gaps = [abs(right[bins == i].mean() - confidence[bins == i].mean()) * (bins == i).mean() for i in np.unique(bins)]
    return float(sum(gaps))


def bootstrap_interval(right: np.ndarray, *, num_samples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean of `right`, over videos drawn with replacement (percentile method).

    For a difference between two networks on the same videos, give the difference of their `right`: that is paired.
    """
    rng = np.random.default_rng(seed)
    means = [right[rng.integers(len(right), size=len(right))].mean() for _ in range(num_samples)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> tuple[int, int, float]:
    """McNemar's exact test: are two networks equally often right on the same videos?

    Returns:
        Videos that only a has right, that only b has right, and the two-sided p-value: of a fair coin to fall at
        least as unevenly on those videos.
    """
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    flips, fewer = only_a + only_b, min(only_a, only_b)
    tail = sum(math.comb(flips, i) for i in range(fewer + 1))
    return only_a, only_b, min(1.0, 2 * tail / 2**flips)


def align(files: Sequence[Predictions]) -> list[Predictions]:
    """The same predictions over the videos that all files have, in one order.

    Raises:
        ValueError: the files differ in their classes or in a video's label, or have no video in common.
    """
    first = files[0]
    in_all = set(first.ids).intersection(*(other.ids for other in files[1:]))
    common = [name for name in first.ids if name in in_all]
    if not common:
        examples = " and ".join(repr(predictions.ids[0]) for predictions in files if predictions.ids)
        raise ValueError(f"the files have no video in common, such as {examples}; are they of the same manifest?")
    aligned = []
    for predictions in files:
        if predictions.class_names != first.class_names:
            raise ValueError("the files have different classes; only networks for the same classes can be compared")
        row = {name: i for i, name in enumerate(predictions.ids)}
        rows = [row[name] for name in common]
        missing = [name for name in [*predictions.ids, *predictions.missing] if name not in in_all]
        aligned.append(
            replace(
                predictions,
                ids=common,
                labels=predictions.labels[rows],
                scores=predictions.scores[rows],
                missing=missing,
                view_scores=None,
            )
        )
    if any((predictions.labels != aligned[0].labels).any() for predictions in aligned):
        raise ValueError("the files give a video different labels; were they made with different manifests?")
    return aligned


def fuse(files: Sequence[Predictions], weights: Sequence[float]) -> Predictions:
    """Weighted mean of the scores of several networks, such as RGB and flow, over the videos that all have.

    Raises:
        ValueError: as `align`; or not one weight a file, or weights that do not sum to something positive.
    """
    finite = all(math.isfinite(weight) and weight >= 0 for weight in weights)
    if len(weights) != len(files) or not finite or sum(weights) == 0:
        raise ValueError(f"weights {list(weights)}: expected {len(files)} finite numbers, none negative, not all zero")
    aligned = align(files)
    scores = sum(weight * each.scores for weight, each in zip(weights, aligned, strict=True)) / sum(weights)
    return replace(aligned[0], scores=scores)


def per_class(predictions: Predictions) -> list[tuple[str, int, float]]:
    """(class, videos, accuracy) of each class that has a video, the best first."""
    right = top_k(predictions.scores, predictions.labels, 1)
    rows = []
    for label in np.unique(predictions.labels):
        of_class = predictions.labels == label
        rows.append((predictions.class_names[label], int(of_class.sum()), float(right[of_class].mean())))
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def summarise(predictions: Predictions) -> dict[str, float | tuple[float, float]]:
    """top1 and its 95 % interval, top5, mean_class, and ece, the expected calibration error."""
    scores, labels = predictions.scores, predictions.labels
    right = top_k(scores, labels, 1)
    return {
        "top1": float(right.mean()),
        "top1_interval": bootstrap_interval(right),
        "top5": float(top_k(scores, labels, 5).mean()),
        "mean_class": mean_class(right, labels),
        "ece": expected_calibration_error(scores, labels),
    }
