"""What a run is checked for: errors and warnings, each in a line, and what is left where something breaks."""

import csv
import errno
import itertools
import os
import re
import signal
from functools import partial

import pytest
import torch
from torch.utils.data import get_worker_info

from nlvideo.__main__ import main
from nlvideo.data.manifest import read_manifest
from nlvideo.data.video import Video
from nlvideo.exit_codes import exit_code
from nlvideo.models import ResNet3d
from nlvideo.task import VideoClassifier
from nlvideo.training import checkpoint_io
from nlvideo.training.metrics_logger import metrics_logger
from nlvideo.training.sanity_checks import empty_classes
from tests.distributed import start_nlvideo
from tests.training.test_resume import SMALLER, without_table


@pytest.fixture
def fit(tiny, tmp_path, capsys):
    """fit(*options) of a run of 3 steps: the exit status and the last line on stderr."""

    def run(*options: str) -> tuple[int, str]:
        length = ["--trainer.max_epochs=1", "--trainer.limit_val_batches=0"]
        status = main(["fit", *tiny, *SMALLER, *length, f"--runs_dir={tmp_path}", "--name=run", *options])
        return status, (capsys.readouterr().err.strip().splitlines() or [""])[-1]

    return run


@pytest.mark.parametrize(
    ("labels", "num_classes", "line"),
    [
        ([0, 1, 2, 3], 4, ""),
        ([0, 1, 2, 3], 10, "6 of the 10 classes .* its labels go up to 3, so expected data.num_classes 4"),
        ([0, 1, 3], 4, "1 of the 4 classes have no training video$"),
    ],
)
def test_classes_without_a_video(labels, num_classes, line):
    assert re.fullmatch(line, empty_classes(labels, num_classes))


def nan_in_step(monkeypatch, step: int):
    original = VideoClassifier.training_step

    def training_step(self, clips, batch_index):
        outputs = original(self, clips, batch_index)
        seen.append(clips.index.tolist())
        return {**outputs, "loss": outputs["loss"] * float("nan")} if self.trainer.global_step == step else outputs

    seen: list[list[int]] = []
    monkeypatch.setattr(VideoClassifier, "training_step", training_step)
    return seen


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_videos(fit, visitors, tmp_path, monkeypatch):
    seen = nan_in_step(monkeypatch, step=2)
    status, shown = fit("--trainer.log_every_n_steps=50", "--checkpoint_minutes=0")
    assert status == 1
    assert "loss not finite from step 3 on" in shown
    samples = read_manifest(visitors / "train.csv", 4)
    assert [row for row, sample in enumerate(samples) if str(sample.path) in shown] == sorted(seen[2])
    last = tmp_path / "run" / "last.ckpt"
    assert f"the last good checkpoint is {last}" in shown
    checkpoint = torch.load(last, weights_only=True)
    assert checkpoint["global_step"] == 2
    assert all(weight.isfinite().all() for weight in checkpoint["state_dict"].values())


def test_weights_that_are_not_finite_are_not_written(fit, tmp_path, monkeypatch):
    """The loss of the last step is finite, its gradients are not."""
    monkeypatch.setattr(VideoClassifier, "on_before_optimizer_step", overflow, raising=False)
    status, shown = fit()
    assert status == 1
    assert "weights not finite from step 3 on" in shown
    assert not (tmp_path / "run" / "last.ckpt").exists()


def overflow(self, optimizer):
    if self.trainer.global_step == 2:
        next(self.net.parameters()).grad.fill_(float("inf"))


def nan_in_second_process() -> None:
    without_table()
    original = VideoClassifier.training_step

    def training_step(self, *args):
        outputs = original(self, *args)
        bad = self.trainer.global_rank == 1 and self.trainer.global_step == 2
        return {**outputs, "loss": outputs["loss"] * float("nan")} if bad else outputs

    VideoClassifier.training_step = training_step


def test_of_several_processes_the_one_that_met_it_names_the_videos(tiny, tmp_path):
    options = [f"--runs_dir={tmp_path}", "--name=run", "--data.batch_size=4", "--trainer.limit_val_batches=0"]
    options += ["--checkpoint_minutes=0", "--trainer.log_every_n_steps=50"]
    job = start_nlvideo(["fit", *tiny, *SMALLER, *options], num_ranks=2, before=nan_in_second_process)
    assert job.wait() == [1, 1]
    lines = sorted(line for line in job.output().splitlines() if line.startswith("nlvideo: "))
    assert lines[0].startswith("nlvideo: in another process, which names the videos")
    assert lines[1].startswith("nlvideo: loss not finite from step 3 on")
    assert lines[1].count(".mp4 (row ") == 4
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == 2


def test_a_network_that_is_frozen_is_an_error(fit, monkeypatch):
    original = ResNet3d.__init__

    def frozen(self, *args, **kwargs):
        original(self, *args, **kwargs)
        self.requires_grad_(False)

    monkeypatch.setattr(ResNet3d, "__init__", frozen)
    status, shown = fit("--model.net.dropout=0.0")
    assert (status, "nothing to train" in shown) == (1, True)


WARNINGS = {
    "zero learning rate": (["--model.optimizer.lr=0"], "learning rate is 0"),
    "long warm-up": (
        ["--model.schedule.warmup=5"],
        "longer than the run of 1 epochs: the end of the warm-up, 5 will",
    ),
    "late milestone": (["--model.schedule={name: steps, milestones: [0.5, 44, 88]}"], "milestone 44, milestone 88"),
    "short epoch": (["--trainer.log_every_n_steps=50"], "an epoch has only 3 batches"),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_settings_with_which_a_training_is_in_vain_are_warned_about(name, fit):
    options, words = WARNINGS[name]
    with pytest.warns(UserWarning, match=words):
        assert fit("--model.schedule.warmup=0", *options, "--trainer.limit_train_batches=3")[0] == 0


def test_a_full_disk_keeps_the_old_checkpoint_and_the_training_is_not_finished(fit, tmp_path, monkeypatch):
    last, writes = tmp_path / "run" / "last.ckpt", []

    def fsync(descriptor):
        writes.append(descriptor)
        if len(writes) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(checkpoint_io.os, "fsync", fsync)
        with pytest.warns(UserWarning, match=rf"{last}.*No space left on device\); the one of before is kept"):
            status, shown = fit("--checkpoint_minutes=0")
    assert status == 1
    assert "final checkpoint could not be written (No space left on device)" in shown
    assert "Make room; the same command goes on" in shown
    assert len(writes) == 3
    assert torch.load(last, weights_only=True)["global_step"] == 1
    assert not list(last.parent.glob(".partial-*"))
    assert not (last.parent / "fit.json").exists()
    assert fit("--checkpoint_minutes=0")[0] == 0  # there is room again
    assert torch.load(last, weights_only=True)["global_step"] == 3
    assert (last.parent / "fit.json").exists()


ENDINGS = {
    "DataLoader timed out after 1080 seconds": "1080 seconds: a process that reads videos hangs",
    "[..gloo/transport/tcp/pair.cc:538] Connection closed by peer": "another process of this run has ended or hangs",
    "[Rank 0] Watchdog caught collective operation timeout: NCCL": "another process of this run has ended or hangs",
}


@pytest.mark.parametrize("words", ENDINGS)
def test_what_torch_says_becomes_a_reason(words):
    status, line = exit_code(RuntimeError(words))
    assert status == 1
    assert ENDINGS[words] in line
    assert exit_code(RuntimeError("shape mismatch")) is None  # a bug shows its trace


def test_rows_that_find_no_room_are_written_later(tmp_path, monkeypatch):
    logger, write = metrics_logger(tmp_path / "run", None), csv.DictWriter.writerows
    logger.log_metrics({"train/loss_step": 0.5}, step=0)

    def half_a_row(self, rows):
        write(self, [{"step": 77}])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full, pytest.warns(UserWarning, match=r"could not be written yet \(No space left"):
        full.setattr(csv.DictWriter, "writerows", half_a_row)
        logger.log_metrics({"train/loss_step": 0.25}, step=1)
    logger.log_metrics({"train/loss_step": 0.125}, step=2)
    rows = (tmp_path / "run" / "metrics.csv").read_text().split()
    assert rows == ["step,train/loss_step", "0,0.5", "1,0.25", "2,0.125"]


def crash_in_read(number: int) -> None:
    """The process that reads videos dies in the middle of that read."""
    without_table()
    original = Video.frames
    reads = itertools.count(1)

    def frames(self, *args, **options):
        if get_worker_info() is not None and next(reads) == number:
            print(f"crashed in {self.path}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *args, **options)

    Video.frames = frames


def test_a_reading_process_that_dies_ends_the_run_with_the_reason_and_the_video(tiny, tmp_path):
    options = [f"--runs_dir={tmp_path}", "--data.num_workers=1", "--trainer.limit_val_batches=0"]
    job = start_nlvideo(["fit", *tiny, *SMALLER, *options], before=partial(crash_in_read, 12))
    assert job.wait() == [1]
    *_, blamed, last = job.output().splitlines()
    assert "a process that reads videos died" in last
    (path,) = re.findall(r"^crashed in (.*)$", job.output(), flags=re.MULTILINE)
    assert f"the process that died was reading {path}" in blamed
    assert "Traceback" not in job.output()
