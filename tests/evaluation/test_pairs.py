"""Two predictions files beside each other, against counts by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nlvideo.evaluation.pairs import compare_predictions
from nlvideo.evaluation.predictions import Predictions, write_predictions

NAMES = ["run", "jump [bold]", "sit | lie"]


def predictions(guesses: str, labels: str = "rrrrjjjjss") -> Predictions:
    """Return scores of 0.8 for each guess, a letter a video."""
    letters = "rjs"
    scores = np.full((len(guesses), 3), 0.1, np.float32)
    scores[np.arange(len(guesses)), [letters.index(letter) for letter in guesses]] = 0.8
    ids = [f"{i}.mp4" for i in range(len(guesses))]
    return Predictions(ids, np.array([letters.index(letter) for letter in labels]), scores, NAMES)


FIRST, SECOND = predictions("rrrrjjjrsj"), predictions("rjjsjjjjrj")


def test_classes_confusions_and_flips_of_a_hand_count():
    pair = compare_predictions(FIRST, SECOND)
    assert (pair.only_first, pair.only_second) == (4, 1)
    assert pair.difference.mean == pytest.approx(0.3)
    assert pair.difference.p == pytest.approx(2 * (1 + 5) / 2**5)  # five coins, one head or fewer, two tails

    gains = pair.classes.set_index("class")
    assert list(gains.index) == ["run", "sit | lie", "jump [bold]"]  # the largest gain first
    assert gains["gain"].tolist() == pytest.approx([0.75, 0.5, -0.25])
    assert gains["videos"].tolist() == [4, 2, 4]
    assert gains.loc["run", "p"] == pytest.approx(2 / 8)
    assert gains["p_holm"].tolist() == pytest.approx([0.75, 1.0, 1.0])
    assert (gains["low"] <= gains["gain"]).all()
    assert (gains["gain"] <= gains["high"]).all()

    confusions = {(row.label, row.prediction): (row.first, row.second) for row in pair.confusions.itertuples()}
    assert confusions == {
        ("run", "jump [bold]"): (0, 2),
        ("run", "sit | lie"): (0, 1),
        ("jump [bold]", "run"): (1, 0),
        ("sit | lie", "run"): (0, 1),
    }
    assert pair.confusions["change"].tolist() == [-2, -1, 1, -1]

    flips = pair.flips.set_index("id")
    assert flips["right"].to_dict() == {
        **dict.fromkeys(["1.mp4", "2.mp4", "3.mp4", "8.mp4"], "first"),
        "7.mp4": "second",
    }
    assert flips.loc["3.mp4", ["label", "first_prediction", "second_prediction"]].tolist() == [
        "run",
        "run",
        "sit | lie",
    ]
    assert flips.loc["7.mp4", ["first_score", "second_score"]].tolist() == pytest.approx([0.1, 0.8])


def test_the_other_way_round_is_the_negative():
    pair, back = compare_predictions(FIRST, SECOND), compare_predictions(SECOND, FIRST)
    assert back.difference.mean == -pair.difference.mean
    assert back.confusions["change"].tolist() == [-change for change in pair.confusions["change"]]
    assert set(back.flips["id"]) == set(pair.flips["id"])


def test_equal_files_have_nothing_to_tell():
    pair = compare_predictions(FIRST, FIRST)
    assert (len(pair.flips), len(pair.confusions), pair.difference.p) == (0, 0, 1.0)
    assert (pair.classes["gain"] == 0).all()


def test_a_video_that_is_there_twice_is_refused():
    with pytest.raises(ValueError, match=r"'0\.mp4' twice"):
        compare_predictions(replace(FIRST, ids=["0.mp4", *FIRST.ids[:-1]]), SECOND)


def test_the_tool_writes_all_of_it(tmp_path, run_tool):
    for name, each in (("first", FIRST), ("second", SECOND)):
        write_predictions(tmp_path / f"{name}.parquet", each)
    files = [tmp_path / f"{name}.parquet" for name in ("first", "second")]
    printed = " ".join(run_tool("score.py", *files, "-o", tmp_path / "out").split())
    assert "videos that only one has right: 5 of 5" in printed
    assert "jump [bold]" in printed
    assert len(pd.read_csv(tmp_path / "out" / "flips.csv")) == 5
    assert pd.read_csv(tmp_path / "out" / "gains.csv")["class"].tolist() == ["run", "sit | lie", "jump [bold]"]
    assert pd.read_csv(tmp_path / "out" / "confusions.csv")["change"].tolist() == [-2, -1, 1, -1]
    assert (tmp_path / "out" / "gains.png").stat().st_size > 5000
    run_tool("score.py", files[0], files[0], "-o", tmp_path / "same")
    assert len(pd.read_csv(tmp_path / "same" / "flips.csv")) == 0
