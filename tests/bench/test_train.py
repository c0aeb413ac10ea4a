"""tools/bench/train.py on tiny settings."""

import runpy
import sys

import pytest

from tests.conftest import ROOT

BENCH = ROOT / "tools" / "bench"
TINY = ["train.py", "--size=32", "--frames=2", "--batch=2", "--repeats=1", "--cpu-time"]


@pytest.fixture
def bench(monkeypatch, capfd, one_thread):
    """bench(): what the script prints, on stdout and stderr."""

    def run() -> str:
        monkeypatch.syspath_prepend(str(BENCH))
        monkeypatch.setattr(sys, "argv", TINY)
        runpy.run_path(str(BENCH / "train.py"), run_name="__main__")
        printed = capfd.readouterr()
        return printed.out + printed.err

    return run


def test_each_form_and_the_peer_is_a_row(bench):
    printed = bench()
    assert "USDT" not in printed
    lines = [line.split("│")[1:-1] for line in printed.splitlines() if line.count("│") == 7]
    rows = [line for line in lines if line[1].strip()]  # a long name goes on in the next line
    assert len(rows) == 8
    assert rows[0][0].strip() == "pytorchvideo, float32"
    for _, clips_per_s, _, _, _, peak in rows:
        assert float(clips_per_s) > 0
        assert float(peak) > 0


def test_a_peer_that_fails_is_a_row_with_its_error(bench, monkeypatch):
    def fail(**settings):
        raise ImportError("pytorchvideo is not for these libraries")

    monkeypatch.setattr("pytorchvideo.models.resnet.create_resnet", fail)
    printed = bench()
    assert "ImportError" in printed
    assert "nlvideo, float32" in printed
