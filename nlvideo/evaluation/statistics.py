"""Statistics of predictions: confusion, calibration, intervals, paired tests, fusion.

Shapes: n videos, K classes.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nlvideo.evaluation.metrics import accuracies, top_k
from nlvideo.evaluation.predictions import Predictions


def confusion_matrix(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return how often each class was taken for each: int64 [K, K], row the label, column the prediction."""
    num_classes = scores.shape[1]
    pairs = labels * num_classes + scores.argmax(axis=1)  # (n)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def confused_pairs(confusion: np.ndarray, count: int) -> list[tuple[int, int, int]]:
    """Return (label, prediction, videos) of the `count` most frequent confusions, most frequent first."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = (np.unravel_index(place, wrong.shape) for place in order)
    return [(int(label), int(guess), int(wrong[label, guess])) for label, guess in pairs if wrong[label, guess]]


def expected_calibration_error(scores: np.ndarray, labels: np.ndarray, num_bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy over equally wide bins of confidence, weighted by the number
    of their videos (Guo et al., ICML 2017, Eq. 3)."""
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == labels
    bins = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    gaps = [abs(right[bins == i].mean() - confidence[bins == i].mean()) * (bins == i).mean() for i in np.unique(bins)]
    return float(sum(gaps))


def bootstrap_interval(right: np.ndarray, *, num_samples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the mean of `right` [n] over videos drawn with replacement (percentile method).

    The difference of two networks' `right` on the same videos gives the interval of a paired difference.
    """
    rng = np.random.default_rng(seed)
    at_once = max(1, 2**20 // len(right))  # samples: few large draws, in bounded memory
    sizes = [min(at_once, num_samples - first) for first in range(0, num_samples, at_once)]
    means = np.concatenate([right[rng.integers(len(right), size=(size, len(right)))].mean(axis=1) for size in sizes])
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> tuple[int, int, float]:
    """Test exactly whether two networks are equally often right on the same videos (McNemar).

    Args:
        right_a: bool [n].
        right_b: bool [n].

    Returns:
        The number of videos that only a has right, that only b has right, and the two-sided p-value: how likely a fair
        coin falls at least as unevenly on those videos.
    """
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    flips, fewer = only_a + only_b, min(only_a, only_b)
    tail = sum(math.comb(flips, i) for i in range(fewer + 1))
    return only_a, only_b, min(1.0, 2 * tail / 2**flips)


def align(files: Sequence[Predictions]) -> list[Predictions]:
    """Return the same predictions over the videos that all files have, in one order.

    Raises:
        ValueError: if the files differ in their classes or in a video's label, have no video in common, or one has a
            video twice.
    """
    for predictions in files:
        if len(set(predictions.ids)) < len(predictions.ids):
            twice = next(name for name, count in Counter(predictions.ids).items() if count > 1)
            raise ValueError(f"a file has the video {twice!r} twice; which of them is compared is not known")
    if any(predictions.class_names != files[0].class_names for predictions in files):
        raise ValueError("the files have different classes; only networks for the same classes can be compared")
    in_all = set(files[0].ids).intersection(*(predictions.ids for predictions in files))
    common = [name for name in files[0].ids if name in in_all]
    if not common:
        examples = " and ".join(repr(predictions.ids[0]) for predictions in files if predictions.ids)
        raise ValueError(f"the files have no video in common, such as {examples}; are they of the same manifest?")
    aligned = [_select(predictions, common) for predictions in files]
    if any((predictions.labels != aligned[0].labels).any() for predictions in aligned):
        raise ValueError("the files give a video different labels; were they made with different manifests?")
    return aligned


def _select(predictions: Predictions, ids: list[str]) -> Predictions:
    """Return the predictions of these videos, the others as missing, without scores of views."""
    row = {name: i for i, name in enumerate(predictions.ids)}
    rows, kept = [row[name] for name in ids], set(ids)
    missing = [name for name in [*predictions.ids, *predictions.missing] if name not in kept]
    labels, scores = predictions.labels[rows], predictions.scores[rows]
    return Predictions(ids, labels, scores, predictions.class_names, missing)


def fuse(files: Sequence[Predictions], weights: Sequence[float]) -> Predictions:
    """Return the weighted mean of the scores of several networks, such as RGB and flow, over the videos that all have.

    Raises:
        ValueError: as `align`; or if there is not one weight a file, or one is negative or not finite, or all are 0.
    """
    finite = all(math.isfinite(weight) and weight >= 0 for weight in weights)
    if len(weights) != len(files) or not finite or sum(weights) == 0:
        raise ValueError(f"weights {list(weights)}: expected {len(files)} finite numbers, none negative, not all zero")
    aligned = align(files)
    scores = sum(weight * each.scores for weight, each in zip(weights, aligned, strict=True)) / sum(weights)
    return replace(aligned[0], scores=scores)


def per_class(predictions: Predictions) -> list[tuple[str, int, float]]:
    """Return (class, videos, accuracy) of each class that has a video, the best first."""
    right = top_k(predictions.scores, predictions.labels, 1)
    rows = []
    for label in np.unique(predictions.labels):
        of_class = predictions.labels == label
        rows.append((predictions.class_names[label], int(of_class.sum()), float(right[of_class].mean())))
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def summarise(predictions: Predictions) -> dict[str, float | tuple[float, float]]:
    """Return `accuracies`, top1_interval, the 95 % interval of top1, and ece, the expected calibration error."""
    scores, labels = predictions.scores, predictions.labels
    return {
        **accuracies(scores, labels),
        "top1_interval": bootstrap_interval(top_k(scores, labels, 1)),
        "ece": expected_calibration_error(scores, labels),
    }
