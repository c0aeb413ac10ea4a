"""Shared by all tests: a small set of real videos, and runs of the real command line on it."""

from pathlib import Path

import pytest

from nlvideo.__main__ import main
from nlvideo.data.visitors import make_visitors

ROOT = Path(__file__).parents[1]

# The demo's recipe on the small set, with a network a quarter as wide.
TINY = [
    "-c",
    str(ROOT / "configs" / "demo.yaml"),
    "--model.net.width=4",
    "--data.batch_size=8",
    "--data.eval_batch_size=4",
    "--data.num_workers=0",
    "--data.num_clips=3",
    "--trainer.log_every_n_steps=1",
]


@pytest.fixture(scope="session")
def visitors(tmp_path_factory) -> Path:
    """Folder of 24 training and 8 validation videos."""
    folder = tmp_path_factory.mktemp("visitors")
    make_visitors(folder, num_train=24, num_val=8)
    return folder


@pytest.fixture(scope="session")
def tiny(visitors) -> list[str]:
    """Arguments of a run that takes seconds."""
    return [*TINY, f"--data.train={visitors / 'train.csv'}", f"--data.val={visitors / 'val.csv'}"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory, tiny) -> Path:
    """Folder of a run of two epochs, one of them after a resume."""
    runs = tmp_path_factory.mktemp("runs")
    base = ["fit", *tiny, f"--runs_dir={runs}", "--name=nl"]
    assert main([*base, "--trainer.max_epochs=1"]) == 0
    assert main([*base, "--trainer.max_epochs=2", f"--ckpt_path={runs / 'nl' / 'last.ckpt'}"]) == 0
    return runs / "nl"
