"""What predictions of one or two networks show: accuracy and gains by class, confusions, videos that flipped.

A network may have been trained with several seeds.

Shapes: S seeds, n videos, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nlvideo.evaluation.metrics import top_k
from nlvideo.evaluation.predictions import Predictions
from nlvideo.evaluation.seeds import difference, interval
from nlvideo.evaluation.statistics import align, confusion_matrix
from nlvideo.report.source import Run


@dataclass(frozen=True)
class Network:
    """A network with its tested trainings, at least one.

    Attributes:
        predictions: of each training, over the videos that all have, in one order.
    """

    name: str
    runs: list[Run]
    predictions: list[Predictions]

    @classmethod
    def of(cls, name: str, runs: Sequence[Run]) -> "Network":
        """Take the runs that were tested. Raise ValueError if they are not of the same videos and classes."""
        tested = [run for run in runs if run.predictions is not None]
        return cls(name, tested, align([run.predictions for run in tested]))

    @property
    def first(self) -> Predictions:
        return self.predictions[0]

    @property
    def right(self) -> np.ndarray:
        """Whether each training is right on each video, bool [S, n]."""
        return np.stack([top_k(its.scores, its.labels, 1) for its in self.predictions])

    def top1(self) -> tuple[float, float, float]:
        """Return mean and 95 % interval of top-1 at video level."""
        low, high = interval(self.right.astype(float))
        return float(self.right.mean()), max(low, 0.0), min(high, 1.0)

    def confusion(self) -> np.ndarray:
        """Return int64 [K, K], summed over the seeds; row the label, column the prediction."""
        return sum(confusion_matrix(its.scores, its.labels) for its in self.predictions)

    def paired(self, other: "Network") -> tuple["Network", "Network"]:
        """Return this and another network over the videos that both have.

        Trainings are paired by `seed_everything`, if the seeds of one are among the other's; else the first of each.

        Raises:
            ValueError: see `align`.
        """
        seeds = [{run.config.get("seed_everything"): i for i, run in enumerate(its.runs)} for its in (self, other)]
        common = [seed for seed in seeds[0] if seed in seeds[1]]
        rows = [[by_seed[seed] for seed in common] or [0] for by_seed in seeds]
        chosen = [[its.predictions[i] for i in of] for its, of in zip((self, other), rows, strict=True)]
        aligned = align([*chosen[0], *chosen[1]])
        halves = aligned[: len(chosen[0])], aligned[len(chosen[0]) :]
        return tuple(
            Network(its.name, [its.runs[i] for i in of], half)
            for its, of, half in zip((self, other), rows, halves, strict=True)
        )


def accuracy_by_class(network: Network) -> pd.DataFrame:
    """Return class, videos, and value, low, high: top-1 and its 95 % interval, for each class that has a video."""
    rows = []
    for label, of_class in _classes(network.first.labels):
        right = network.right[:, of_class].astype(float)
        low, high = interval(right)
        name = network.first.class_names[label]
        rows.append((name, int(of_class.sum()), float(right.mean()), max(low, 0.0), min(high, 1.0)))
    return pd.DataFrame(rows, columns=["class", "videos", "value", "low", "high"])


def gain_by_class(network: Network, reference: Network) -> pd.DataFrame:
    """Return class, videos, and value, low, high: gain in top-1 of paired networks and its 95 % interval."""
    rows = []
    for label, of_class in _classes(network.first.labels):
        gain = difference(network.right[:, of_class], reference.right[:, of_class])
        rows.append((network.first.class_names[label], int(of_class.sum()), gain.mean, gain.low, gain.high))
    return pd.DataFrame(rows, columns=["class", "videos", "value", "low", "high"])


def flips(network: Network, reference: Network) -> pd.DataFrame:
    """Return the videos that one of two paired networks has right in more trainings than the other: id, label, change,
    and what the first training of each predicts; the largest changes first, then by how much the label's score moved.

    change: from -1, only the reference has it right, to 1, only the network has.
    """
    change = network.right.mean(axis=0) - reference.right.mean(axis=0)  # (n)
    rows = np.flatnonzero(change)
    names, labels = network.first.class_names, network.first.labels
    guesses = [its.first.scores.argmax(axis=1) for its in (network, reference)]
    videos = np.arange(len(labels))
    moved = network.first.scores[videos, labels] - reference.first.scores[videos, labels]
    order = sorted(rows, key=lambda row: (-abs(change[row]), -abs(moved[row])))
    table = [
        (row, network.first.ids[row], names[labels[row]], float(change[row]), *(names[its[row]] for its in guesses))
        for row in order
    ]
    return pd.DataFrame(table, columns=["row", "id", "label", "change", "network", "reference"])


def changed_confusions(network: Network, reference: Network, count: int) -> list[tuple[str, str, float, float]]:
    """Return (label, prediction, share of the network, share of the reference) of the wrong predictions whose number
    changed most, as shares of the label's videos."""
    shares = []
    for its in (network, reference):
        confusion = its.confusion().astype(float)
        shares.append(confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1))
    moved = np.abs(shares[0] - shares[1])
    np.fill_diagonal(moved, 0)
    places = np.argsort(-moved, axis=None, kind="stable")[:count]
    names = network.first.class_names
    pairs = (np.unravel_index(place, moved.shape) for place in places)
    return [(names[i], names[j], *(float(share[i, j]) for share in shares)) for i, j in pairs if moved[i, j]]


def _classes(labels: np.ndarray) -> list[tuple[int, np.ndarray]]:
    return [(int(label), labels == label) for label in np.unique(labels)]
