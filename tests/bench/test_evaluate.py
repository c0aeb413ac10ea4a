"""tools/bench/evaluate.py on tiny settings."""

import re
import runpy
import sys

import numpy as np
import pytest

from nlvideo.data.prepare.encode import write_video
from tests.conftest import ROOT

BENCH = ROOT / "tools" / "bench"
TINY = ["--width=4", "--at=nl1", "--clips=1", "--side=64", "--trained-side=32", "--device=cpu"]


@pytest.fixture
def bench(monkeypatch, capsys):
    """bench(*arguments): what the script prints."""

    def run(*arguments) -> str:
        monkeypatch.syspath_prepend(str(BENCH))
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, arguments)])
        runpy.run_path(str(BENCH / "evaluate.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "video.mp4"
    frames = np.random.default_rng(0).integers(0, 255, (70, 9, 12, 3), dtype=np.uint8)
    write_video(path, frames.repeat(8, axis=1).repeat(8, axis=2), 30)
    return path


def test_ours_scores_as_the_peers_pipeline(bench, video):
    (line,) = [line for line in bench(video, *TINY).splitlines() if "nlvideo" in line and "nln      │ float32" in line]
    assert float(line.split("│")[-2]) < 1e-5  # 1e-4 if one of them did not subsample


def test_a_peer_that_fails_is_a_row_with_its_error(bench, video, monkeypatch):
    from pytorchvideo.data.encoded_video import EncodedVideo

    def fail(*args, **kwargs):
        raise IndexError("index 48 is out of bounds")

    monkeypatch.setattr(EncodedVideo, "from_path", fail)
    shown = bench(video, *TINY)
    assert "pytorchvideo nln float32: IndexError: index 48 is out of bounds" in shown
    assert re.search(r"nlvideo uniform bfloat16: \d+\.\d+ s a video", shown)
