"""`nlvideo test --lesion --probe`: every number again by hand, from the videos and from the predictions files."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import nlvideo
from nlvideo.__main__ import main
from nlvideo.data import eval_dataset, reading
from nlvideo.data.video import Video
from nlvideo.evaluation.predictions import Predictions, read_predictions

STARTS = (3, 0, 7)  # of the centred clip, and of the two clips of video level: 64 frames, clips of 57


def arguments(folder: Path) -> list[str]:
    return ["test", "-c", str(folder / "config.yaml"), f"--ckpt_path={folder / 'last.ckpt'}", "--data.num_clips=2"]


@pytest.fixture(scope="module")
def tested(trained, tmp_path_factory):
    """A run that was tested with variants, the predictions by row of the table, and the videos as they were decoded."""
    folder = tmp_path_factory.mktemp("tested") / "nl"
    shutil.copytree(trained, folder)
    decoded = []

    class Counted(Video):
        def frames(self, *args, **options):
            decoded.append(self.path)
            return super().frames(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "Video", Counted)
        chosen = ["--lesion", "all", "res3.0+res3.1:own_frame", "--probe", "reversed", "still", "second_half"]
        assert main([*arguments(folder), *chosen]) == 0
    rows = {"intact": read_predictions(folder / "predictions.parquet")}
    for file in folder.glob("predictions-*.parquet"):
        rows[file.stem.removeprefix("predictions-")] = read_predictions(file)
    return folder, rows, decoded


def by_hand(folder: Path, visitors: Path, ids: list[str], *, bare: bool, order: list[int]) -> tuple:
    """Return the scores of clip level and of video level, [n, K] each."""
    net = nlvideo.load(folder / "last.ckpt")
    if bare:
        weights = net.state_dict()
        net = net.bare().eval()
        net.load_state_dict(weights, strict=False)
    scores = []
    for name in ids:
        frames = Video(visitors / name).frames(np.arange(64))  # (64, 3, 64, 64)
        clips = torch.stack([frames[start : start + 57 : 8][order].transpose(0, 1) for start in STARTS])
        with torch.no_grad():
            scores.append(net((clips / 255 - 0.45) / 0.225).softmax(dim=1).numpy())  # (3, K)
    scores = np.stack(scores)
    return scores[:, 0], scores[:, 1:].mean(axis=1)


@pytest.mark.parametrize(
    ("row", "bare", "order"),
    [
        ("intact", False, range(8)),
        ("lesion-all-off", True, range(8)),
        ("probe-reversed", False, range(7, -1, -1)),
        ("probe-still", False, [4] * 8),
        ("probe-second_half", False, [4, 4, 5, 5, 6, 6, 7, 7]),
    ],
)
def test_scores_by_hand(row, bare, order, tested, visitors):
    folder, rows, _ = tested
    clip, video = by_hand(folder, visitors, rows[row].ids, bare=bare, order=list(order))
    np.testing.assert_allclose(rows[row].scores, video, atol=1e-5)
    table = pd.read_csv(folder / "variants.csv", index_col="variant")
    labels = rows[row].labels
    assert table.loc[row, "clip_top1"] == pytest.approx((clip.argmax(axis=1) == labels).mean())
    assert table.loc[row, "video_top1"] == pytest.approx((video.argmax(axis=1) == labels).mean())


def right(predictions: Predictions) -> np.ndarray:
    return (predictions.scores.argmax(axis=1) == predictions.labels).astype(float)


def interval(difference: np.ndarray) -> list[float]:
    rng = np.random.default_rng(0)
    means = [difference[rng.integers(len(difference), size=len(difference))].mean() for _ in range(2000)]
    return np.percentile(means, [2.5, 97.5]).tolist()


def test_the_table_by_hand(tested):
    folder, rows, _ = tested
    table = pd.read_csv(folder / "variants.csv", index_col="variant")
    assert list(table.index) == [
        *("intact", "lesion-all-off", "lesion-res3.0+res3.1-own_frame"),
        *("probe-reversed", "probe-still", "probe-second_half"),
    ]
    assert set(table.index) == set(rows)
    result = json.loads((folder / "test.json").read_text())["variants"]
    per_class = pd.read_csv(folder / "variants_per_class.csv").set_index(["variant", "class"])
    assert pd.isna(table.loc["intact", "video_cost"])
    for name, predictions in rows.items():
        if name == "intact":
            continue
        assert predictions.ids == rows["intact"].ids
        intact, changed = right(rows["intact"]), right(predictions)
        row, difference = table.loc[name], intact - changed
        assert row["video_cost"] == pytest.approx(difference.mean())
        assert [row["video_low"], row["video_high"]] == pytest.approx(interval(difference))
        only_intact, only_row = int((difference > 0).sum()), int((difference < 0).sum())
        assert (row["video_only_intact"], row["video_only_variant"]) == (only_intact, only_row)
        flips = only_intact + only_row
        tail = sum(math.comb(flips, i) for i in range(min(only_intact, only_row) + 1)) / 2**flips
        assert row["video_p"] == pytest.approx(min(1.0, 2 * tail))
        assert (row["num_scored"], row["num_videos"]) == (8, 8)
        for level in ("clip", "video"):
            for key in ("top1", "cost", "low", "high", "only_intact", "only_variant", "p"):
                assert result[name][level][key] == pytest.approx(row[f"{level}_{key}"])
        for label in np.unique(predictions.labels):
            of_class, cell = predictions.labels == label, per_class.loc[name, predictions.class_names[label]]
            assert cell["videos"] == of_class.sum()
            assert cell["intact_top1"] - cell["top1"] == pytest.approx(cell["cost"])
            assert cell["cost"] == pytest.approx(difference[of_class].mean())
            assert [cell["low"], cell["high"]] == pytest.approx(interval(difference[of_class]))
    assert (table["video_cost"].dropna() != 0).any()
    assert (folder / "time.png").stat().st_size > 5000
    markdown = (folder / "variants.md").read_text()
    assert markdown.count("\n| ") == 6  # rows below the head
    assert "All rows are of one network, trained once" in markdown


def test_every_video_is_decoded_once(tested):
    _, _, decoded = tested
    assert len(decoded) == len(set(decoded)) == 8


def test_variants_leave_the_intact_numbers_as_they_are(tested, tmp_path, one_thread):
    folder, rows, _ = tested
    assert main([*arguments(folder), f"--runs_dir={tmp_path}", "--name=plain"]) == 0
    plain, beside = (json.loads((path / "test.json").read_text()) for path in (tmp_path / "plain", folder))
    for level in ("clip", "clip_averaged", "video"):
        assert plain[level] == beside[level]
    assert "variants" not in plain
    np.testing.assert_array_equal(
        read_predictions(tmp_path / "plain" / "predictions.parquet").scores, rows["intact"].scores
    )


def test_any_two_rows_can_be_compared(tested, run_tool):
    folder, rows, _ = tested
    names = ("lesion-all-off", "probe-still")
    printed = " ".join(run_tool("score.py", *(folder / f"predictions-{name}.parquet" for name in names)).split())
    difference = 100 * (right(rows[names[0]]).mean() - right(rows[names[1]]).mean())
    assert f"top-1 of the first is higher by {difference:.2f} points" in printed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--lesion", "res5.0"], "no block 'res5.0'; expected some of res3.0, res3.1, res4.1, all or each"),
        (["--lesion", "each:even"], "'even': expected off, own_frame, other_frames, uniform or windowN"),
        (["--probe", "backwards"], "--probe backwards: expected some of shuffled, reversed"),
    ],
)
def test_bad_input_is_refused_before_anything_is_decoded(options, words, tested, monkeypatch, capsys):
    folder, _, _ = tested
    monkeypatch.setattr(eval_dataset, "read_eval_clips", None)
    assert main([*arguments(folder), *options]) == 1
    assert words in capsys.readouterr().err


def test_variants_are_for_tests(tested, capsys):
    folder, _, _ = tested
    assert main(["validate", *arguments(folder)[1:3], f"--ckpt_path={folder / 'last.ckpt'}", "--probe", "all"]) == 1
    assert "nlvideo validate: --lesion and --probe are for test" in capsys.readouterr().err
