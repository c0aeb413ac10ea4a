"""`nlvideo attention-stats` on encoded videos: the numbers of the maps, a broken video, a limit, a resume."""

import csv
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from nlvideo.__main__ import main
from nlvideo.analysis import attention_maps
from nlvideo.analysis.attention_stats import AttentionStats, sample_rows
from nlvideo.analysis.clip import normalized, read_clip
from nlvideo.checkpoint import load
from nlvideo.evaluation import progress


@pytest.fixture(scope="module")
def broken(visitors, tmp_path_factory):
    """Manifest of four videos, the third of which cannot be read."""
    folder = tmp_path_factory.mktemp("broken")
    for i in range(4):
        shutil.copy(visitors / "val" / f"0000{i}.mp4", folder)
    (folder / "00002.mp4").write_bytes(b"no video")
    shutil.copy(visitors / "classes.txt", folder)
    (folder / "test.csv").write_text("path,label\n" + "".join(f"0000{i}.mp4,{i}\n" for i in range(4)))
    return folder / "test.csv"


def arguments(trained, test, output, *more: str) -> list[str]:
    options = [f"--ckpt_path={trained / 'last.ckpt'}", f"--data.test={test}", "--data.eval_batch_size=1"]
    return ["attention-stats", "-c", str(trained / "config.yaml"), *options, "-o", str(output), *more]


def videos_of(folder) -> list[dict]:
    return pq.read_table(folder / "attention_stats.parquet").to_pylist()


def test_measures_are_those_of_the_maps_and_a_broken_video_is_named(trained, broken, tmp_path, capsys):
    options = ["--data.num_clips=2", "--block", "res3.1", "res4.1"]
    assert main(arguments(trained, broken, tmp_path / "stats", *options)) == 0
    printed = capsys.readouterr().out
    assert "3 of 4 videos, 2 x 1 views each" in printed
    assert "not measured: 00002.mp4" in printed
    rows = videos_of(tmp_path / "stats")
    assert [(row["id"], row["block"]) for row in rows] == [
        (f"0000{i}.mp4", block) for i in (0, 1, 3) for block in ("res3.1", "res4.1")
    ]
    result = json.loads((tmp_path / "stats" / "attention_stats.json").read_text())
    assert (result["num_measured"], result["num_videos"], result["missing"]) == (3, 4, ["00002.mp4"])
    with open(tmp_path / "stats" / "attention_stats.csv") as file:
        table = {(line["block"], line["measure"]): line for line in csv.DictReader(file)}
    mean = table["res4.1", "own_frame"]
    values = [row["own_frame"] for row in rows if row["block"] == "res4.1"]
    assert float(mean["mean"]) == pytest.approx(np.mean(values))
    assert min(values) <= float(mean["low"]) <= float(mean["mean"]) <= float(mean["high"]) <= max(values)
    written = (tmp_path / "stats" / "attention_stats.md").read_text()
    assert "| res4.1 | weight on the query's own frame |" in " ".join(written.split())
    assert (tmp_path / "stats" / "attention_stats.png").stat().st_size > 10_000

    assert main(arguments(trained, broken, tmp_path / "one", "--data.num_clips=1", "--block", "res4.1")) == 0
    net = load(trained / "last.ckpt")
    row = videos_of(tmp_path / "one")[0]
    clip = normalized(net, read_clip(net, broken.parent / "00000.mp4"))  # centred, as one clip of a test
    maps = attention_maps(net, clip, queries="all", blocks=["res4.1"])
    own = np.mean([float(each.weights[each.query[0]].sum()) for each in maps])
    entropy = np.mean([float(torch.special.entr(each.weights).sum()) for each in maps])
    assert row["own_frame"] == pytest.approx(own, abs=1e-5)
    assert row["entropy"] == pytest.approx(entropy / np.log(maps[0].weights.numel()), abs=1e-5)


def test_a_stopped_run_goes_on(trained, broken, tmp_path, monkeypatch, one_thread):
    assert main(arguments(trained, broken, tmp_path / "whole", "--data.num_clips=1")) == 0
    monkeypatch.setattr(progress, "SECONDS", 0)
    measure, counted = AttentionStats._measure, []

    def stops_at_the_second(self, videos, views):
        counted.append(len(videos))
        if len(counted) == 2:
            raise RuntimeError("stopped")
        return measure(self, videos, views)

    again = arguments(trained, broken, tmp_path / "stopped", "--data.num_clips=1")
    with monkeypatch.context() as patched:
        patched.setattr(AttentionStats, "_measure", stops_at_the_second)
        with pytest.raises(RuntimeError, match="stopped"):
            main(again)
    assert main([*again, "--block", "res4.1", "--resume"]) == 1  # another measurement
    monkeypatch.setattr(AttentionStats, "_measure", lambda *given: counted.append(1) or measure(*given))
    assert main([*again, "--resume"]) == 0
    assert len(counted) == 2 + 2
    assert videos_of(tmp_path / "stopped") == videos_of(tmp_path / "whole")
    assert not (tmp_path / "stopped" / "test_progress").exists()


def test_a_limit_takes_the_same_random_videos():
    """Of a manifest whose classes take turns or follow one another, it has some of each."""
    rows = sample_rows(400, 40)
    assert rows == sorted(set(rows)) == sample_rows(400, 40)
    assert len(rows) == 40
    assert all(4 <= count <= 17 for count in np.bincount([row % 4 for row in rows]))
    assert all(4 <= count <= 17 for count in np.bincount([row // 100 for row in rows]))
    assert sample_rows(3, 5) == sample_rows(3, None) == [0, 1, 2]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--block", "res5.0"], "--block res5.0: no such block; expected some of res3.0, res3.1, res4.1"),
        (["--limit=0"], "--limit 0: expected at least 1"),
        (["--probe", "all"], "--lesion and --probe are for nlvideo test"),
    ],
)
def test_bad_input(given, words, trained, broken, tmp_path, capsys):
    assert main(arguments(trained, broken, tmp_path, *given)) == 1
    assert words in capsys.readouterr().err
