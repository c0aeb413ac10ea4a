"""Two networks on the same videos: gains by class, changed confusions, and the videos that one has right and one wrong.

Shapes: n videos that both have scored, K classes.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nlvideo.evaluation.metrics import top_k
from nlvideo.evaluation.predictions import Predictions
from nlvideo.evaluation.seeds import Difference, difference, holm
from nlvideo.evaluation.statistics import align, bootstrap_interval, confusion_matrix, mcnemar


@dataclass(frozen=True)
class PairComparison:
    """Two predictions files, of one training each: nothing here is known of other seeds.

    Attributes:
        difference: top-1 of the first less that of the second.
        only_first, only_second: videos that only that one has right.
        classes: a row for each class that has a video, that with the largest gain first. class, videos, first_top1,
            second_top1; gain, the first less the second; low and high, its 95 % interval (`bootstrap_interval` over
            the videos of the class); p of McNemar's exact test, p_holm corrected for the number of classes.
        confusions: a row for each pair of classes that the two do not confuse equally often, the most changed first.
            label, prediction, first and second, the videos that each takes so; change, the first less the second.
        flips: a row for each video that only one has right, that whose label's score differs most first. id, label,
            right (first or second), first_prediction, second_prediction, and the scores that both give the label,
            first_score, second_score.
    """

    difference: Difference
    only_first: int
    only_second: int
    classes: pd.DataFrame
    confusions: pd.DataFrame
    flips: pd.DataFrame


def compare_predictions(first: Predictions, second: Predictions) -> PairComparison:
    """Return the comparison of two predictions files over the videos that both have.

    Raises:
        ValueError: see `align`.
    """
    first, second = align([first, second])
    rights = [top_k(each.scores, each.labels, 1) for each in (first, second)]  # [n] each
    flips = _flips(first, second, *rights)
    only_first = int((flips["right"] == "first").sum())
    return PairComparison(
        difference=difference(rights[0][None], rights[1][None]),
        only_first=only_first,
        only_second=len(flips) - only_first,
        classes=_classes(first, *rights),
        confusions=_confusions(first, second),
        flips=flips,
    )


def _classes(predictions: Predictions, right_first: np.ndarray, right_second: np.ndarray) -> pd.DataFrame:
    rows = []
    for label in np.unique(predictions.labels):
        first, second = (right[predictions.labels == label] for right in (right_first, right_second))
        gained = first.astype(float) - second
        low, high = bootstrap_interval(gained)
        rows.append(
            {
                "class": predictions.class_names[label],
                "videos": len(first),
                "first_top1": first.mean(),
                "second_top1": second.mean(),
                "gain": gained.mean(),
                "low": low,
                "high": high,
                "p": mcnemar(first, second)[2],
            }
        )
    frame = pd.DataFrame(rows)
    frame["p_holm"] = holm(frame["p"].tolist())
    return frame.sort_values("gain", ascending=False, kind="stable", ignore_index=True)


def _confusions(first: Predictions, second: Predictions) -> pd.DataFrame:
    counts = [confusion_matrix(each.scores, each.labels) for each in (first, second)]
    change = counts[0] - counts[1]
    np.fill_diagonal(change, 0)
    labels, guesses = np.nonzero(change)
    names = np.array(first.class_names, dtype=object)
    frame = pd.DataFrame({"label": names[labels], "prediction": names[guesses]})
    frame["first"], frame["second"] = (count[labels, guesses] for count in counts)
    frame["change"] = change[labels, guesses]
    return frame.sort_values("change", key=lambda its: -its.abs(), kind="stable", ignore_index=True)


def _flips(first: Predictions, second: Predictions, right_first: np.ndarray, right_second: np.ndarray) -> pd.DataFrame:
    rows = np.flatnonzero(right_first != right_second)
    names, labels = np.array(first.class_names, dtype=object), first.labels[rows]
    frame = pd.DataFrame({"id": [first.ids[row] for row in rows], "label": names[labels]})
    frame["right"] = np.where(right_first[rows], "first", "second")
    for name, each in (("first", first), ("second", second)):
        frame[f"{name}_prediction"] = names[each.scores[rows].argmax(axis=1)]
        frame[f"{name}_score"] = each.scores[rows, labels]
    order = np.argsort(-(frame["first_score"] - frame["second_score"]).abs().to_numpy(), kind="stable")
    return frame.iloc[order].reset_index(drop=True)
