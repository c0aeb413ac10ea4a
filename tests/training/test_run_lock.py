"""One training at a time in a folder; what the lock does when its process dies."""

import os
import signal
import time
from pathlib import Path

import pytest

from nlvideo.__main__ import main
from nlvideo.training.run_lock import run_lock
from tests.distributed import Job


def hold(folder: Path) -> None:
    with run_lock(folder):
        print("held", flush=True)
        time.sleep(600)


def test_a_second_training_is_refused_and_told_who_has_the_folder(tiny, tmp_path, capsys):
    job = Job(hold, (tmp_path / "run",), num_ranks=1)
    job.wait_until(lambda: "held" in job.output())
    assert main(["fit", *tiny, f"--runs_dir={tmp_path}", "--name=run"]) == 1
    shown = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"process {job.pids[0]} on " in shown
    assert "since 20" in shown
    os.kill(job.pids[0], signal.SIGKILL)
    assert job.wait() == [-9]
    # The lock has died with its process, and this process holds it now.
    refused = pytest.raises(ValueError, match=f"process {os.getpid()} on")
    with run_lock(tmp_path / "run"), refused, run_lock(tmp_path / "run"):
        pass
