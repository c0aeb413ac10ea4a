"""tools/bench/gpu.sh on the CPU with tiny settings: its commands, run in this process."""

import os
import runpy
import subprocess
import sys

import pandas as pd
import pytest
import torch

from tests.conftest import ROOT
from tests.training.test_resume import SMALLER

BENCH = ROOT / "tools" / "bench"


def commands(folder, fit: str) -> list[list[str]]:
    """Return the arguments of each script that gpu.sh calls."""
    python = folder / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@" "" >> "$(dirname "$0")/calls"\n')
    python.chmod(0o755)
    environment = {**os.environ, "DEVICE": "cpu", "TINY": "1", "OUT": str(folder), "PYTHON": str(python), "FIT": fit}
    subprocess.run(["bash", str(BENCH / "gpu.sh"), "--peak-tflops", "0.1"], env=environment, check=True)
    return [call.split("\n") for call in (folder / "calls").read_text().strip().split("\n\n")]


@pytest.fixture
def call(monkeypatch, one_thread):
    def run(arguments):
        monkeypatch.syspath_prepend(str(BENCH))
        monkeypatch.setattr(sys, "argv", [str(ROOT / arguments[0]), *arguments[1:]])
        runpy.run_path(str(ROOT / arguments[0]), run_name="__main__")

    return run


def test_every_command_writes_its_rows(tmp_path, call, tiny, monkeypatch, capsys):
    def fail(net, stages):
        if stages:
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("nlvideo.models.activation_checkpointing.activation_checkpoint_stages", fail)
    monkeypatch.setattr("nlvideo.training.run_folder.stage_table", lambda job: "costs")
    calls = commands(tmp_path, " ".join([*tiny, *(option.replace(" ", "") for option in SMALLER)]))
    assert [arguments[0].rpartition("/")[2] for arguments in calls] == [
        "network.py",
        "network.py",
        "nonlocal.py",
        "fit.py",
        "table.py",
    ]
    for arguments in (*calls[:2], *calls[3:]):  # test_nonlocal.py runs the third
        if arguments[0].endswith("table.py"):
            arguments.remove(str(tmp_path / "gpu_nonlocal.csv"))
        call(arguments)
    shown = capsys.readouterr().out
    assert "logits differ from those of pytorchvideo's network by" in shown
    assert "| one device " in shown

    networks = pd.read_csv(tmp_path / "gpu_network.csv")
    assert networks.groupby(["mode", "whose"]).size().to_dict() == {
        ("train", "pytorchvideo"): 2,
        ("train", "nlvideo"): 7,
        ("test", "pytorchvideo"): 2,
        ("test", "nlvideo"): 2,
    }
    out_of_memory = networks.error.notna()
    assert set(networks.error[out_of_memory]) == {"OutOfMemoryError: CUDA out of memory"}
    measured = networks[~out_of_memory]
    assert (measured[["clips/s", "ms", "MB", "% of peak"]] > 0).all(axis=None)
    fits = pd.read_csv(tmp_path / "gpu_fit.csv")
    assert list(fits.run) == ["one device", "DDP, one process"]
    assert fits["% waiting"].between(0, 100).all()
    for column in ("command", "commit", "device", "date"):
        assert networks[column].notna().all(), column
