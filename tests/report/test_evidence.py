"""What predictions of two networks show, against counts by hand. Letters: S seeds, n videos, K classes."""

from pathlib import Path

import numpy as np
import pytest

from nlvideo.evaluation.predictions import Predictions
from nlvideo.report.evidence import Network, accuracy_by_class, changed_confusions, flips, gain_by_class
from nlvideo.report.source import Run
from nlvideo.report.videos import choose

LABELS = [0, 0, 0, 1, 1, 2]


def network(name: str, *guesses: list[int], seeds: tuple[int, ...] = (0,), ids: str = "abcdef") -> Network:
    """A network that predicts these classes, one list for each seed; the i-th video has a score of 0.5 + i / 20."""
    runs = []
    for seed, guess in zip(seeds, guesses, strict=True):
        scores = np.full((len(guess), 3), 0.1, dtype=np.float32)
        scores[np.arange(len(guess)), guess] = 0.5 + np.arange(len(guess)) / 20
        predictions = Predictions(list(ids), np.array(LABELS), scores, ["x", "y", "z"])
        runs.append(Run(Path(name), name, {"seed_everything": seed}, {}, {}, None, predictions, "finished", Path("x")))
    return Network.of(name, runs)


def test_accuracy_and_gain_of_each_class():
    ours, theirs = network("ours", [0, 0, 1, 1, 1, 0]), network("theirs", [0, 1, 1, 1, 0, 2])
    table = accuracy_by_class(ours)
    assert table["class"].tolist() == ["x", "y", "z"]
    assert table["videos"].tolist() == [3, 2, 1]
    assert table["value"].tolist() == pytest.approx([2 / 3, 1, 0])
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"])).all()
    assert gain_by_class(ours, theirs)["value"].tolist() == pytest.approx([1 / 3, 1 / 2, -1])
    assert ours.top1()[0] == pytest.approx(4 / 6)


def test_flips_count_seeds_and_say_which_way():
    ours = network("ours", [0, 0, 0, 1, 1, 0], [0, 0, 1, 1, 1, 0], seeds=(0, 1))
    theirs = network("theirs", [0, 1, 1, 1, 1, 2], [0, 1, 1, 1, 1, 0], seeds=(0, 1))
    table = flips(*ours.paired(theirs))
    assert dict(zip(table["id"], table["change"], strict=True)) == pytest.approx({"b": 1.0, "c": 0.5, "f": -0.5})
    assert table["id"].tolist()[0] == "b"
    assert table.set_index("id").loc["f", ["label", "network", "reference"]].tolist() == ["z", "x", "z"]


def test_confusions_that_changed_most_are_shares_of_the_label():
    ours, theirs = network("ours", [0, 0, 0, 1, 1, 0]), network("theirs", [1, 1, 0, 1, 1, 2])
    found = changed_confusions(ours, theirs, count=10)
    assert found == [("z", "x", 1.0, 0.0), ("x", "y", 0.0, pytest.approx(2 / 3))]


def test_trainings_are_paired_by_seed_over_the_videos_that_both_have():
    right, wrong = LABELS, [1, 1, 1, 0, 0, 0]
    ours = network("ours", right, wrong, right, seeds=(0, 1, 2))
    theirs = network("theirs", wrong, right, seeds=(1, 5), ids="abcdeg")
    first, second = ours.paired(theirs)
    assert (len(first.runs), len(second.runs)) == (1, 1)  # seed 1
    assert not first.right.any() and not second.right.any()
    assert first.first.ids == second.first.ids == list("abcde")


def test_the_videos_to_show_are_the_most_confident_and_those_that_flipped():
    ours, theirs = network("ours", [0, 0, 1, 1, 1, 0]), network("theirs", [0, 1, 1, 1, 0, 2])
    groups = [rows for _, rows in choose(ours, theirs, 2)]
    assert groups == [[4, 3], [5, 2], [4, 1], [5]]  # scores rise with the row
    assert [rows for _, rows in choose(ours, None, 2)] == groups[:2]
