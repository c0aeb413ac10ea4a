"""tools/bench/loader.py on tiny settings."""

import runpy
import sys

import decord
import numpy as np
import pytest

from nlvideo.data.prepare.encode import write_video
from tests.conftest import ROOT

BENCH = ROOT / "tools" / "bench"


@pytest.fixture
def bench(monkeypatch, capsys, tmp_path):
    """bench(): the table that the script prints, a dictionary of rows."""
    frames = np.random.default_rng(0).integers(0, 255, (70, 9, 12, 3), dtype=np.uint8)
    write_video(tmp_path / "a.mp4", frames.repeat(8, axis=1).repeat(8, axis=2), 30)

    def run() -> dict[str, list[str]]:
        monkeypatch.syspath_prepend(str(BENCH))
        arguments = ["--clips=3", "--repeats=1", "--workers=0"]
        monkeypatch.setattr(sys, "argv", ["loader.py", str(tmp_path), *arguments])
        runpy.run_path(str(BENCH / "loader.py"), run_name="__main__")
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
        return {cells[1].strip(): cells[2:-1] for cells in (line.split("|") for line in lines)}

    return run


def test_every_row_is_measured_or_says_why_not(bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "slowfast", None)
    rows = bench()
    for name in (
        "nlvideo",
        "nlvideo, PyAV",
        "decord alone",
        "PyAV alone",
        "pytorchvideo, decord",
        "pytorchvideo, PyAV",
    ):
        assert [float(cell) > 0 for cell in rows[name]] == [True] * 3, rows[name]
    assert rows["SlowFast, PyAV"][0].startswith(" not measured: ModuleNotFoundError: ")
    assert decord.bridge._CURRENT_BRIDGE.type == "torch"  # as pytorchvideo has set it


def test_a_peer_that_fails_is_a_row_with_its_error(bench, monkeypatch):
    from pytorchvideo.data.encoded_video_decord import EncodedVideoDecord

    def fail(*args, **kwargs):
        raise AttributeError("'NDArray' object has no attribute 'to'")

    monkeypatch.setattr(EncodedVideoDecord, "get_clip", fail)
    rows = bench()
    assert "'NDArray' object has no attribute 'to'" in rows["pytorchvideo, decord"][0]
    assert float(rows["nlvideo"][0]) > 0
