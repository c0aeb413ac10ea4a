"""What a training prints, logs and refuses, and that its loggers never stop it."""

import math
import re
from contextlib import suppress

import pandas as pd
import pytest
import torch
import wandb
from torch import nn

from nlvideo.__main__ import main
from nlvideo.models import ResNet3d
from nlvideo.training.run_folder import RunFolder
from nlvideo.training.throughput import Throughput

EACH_EPOCH = ["--trainer.check_val_every_n_epoch=1"]
SHORT = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=2"]


def test_rate_and_batch_follow_the_linear_rule(tiny, tmp_path, capfd):
    options = ["--model.optimizer.base_batch=64", "--trainer.accumulate_grad_batches=2", "--model.schedule.warmup=0"]
    assert main(["fit", *tiny, *SHORT, *options, f"--runs_dir={tmp_path}", "--name=run"]) == 0
    printed = " ".join(capfd.readouterr().out.split())
    assert "a step sees 16 clips: 8 x 1 devices x 1 nodes x 2 accumulated; lr 0.003 x 16 / 64 = 0.00075" in printed
    assert re.search(r"weights │ \d+ │ [\d,]+ │ 0.02 │ 0.00075 │ 0.00075", printed)
    assert re.search(r"norms │ \d+ │ [\d,]+ │ 0 │ 0.00075", printed)
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert state["global_step"] == 1
    assert state["optimizer_states"][0]["param_groups"][0]["initial_lr"] == pytest.approx(0.00075)


def test_a_schedule_in_steps_counts_those_of_the_optimiser(tiny, tmp_path):
    """Three batches an epoch, two for a step: the steps 0, 1 | 2, 3 | 4 and their rates."""
    schedule = "{name: steps, unit: steps, warmup: 0, milestones: [2, 4]}"
    options = [f"--model.schedule={schedule}", "--trainer.accumulate_grad_batches=2", "--trainer.max_steps=5"]
    assert main(["fit", *tiny, *options, "--trainer.max_epochs=-1", f"--runs_dir={tmp_path}", "--name=run"]) == 0
    rates = pd.read_csv(tmp_path / "run" / "metrics.csv").dropna(subset="speed/step_ms").set_index("step")["lr"]
    # A row shows the rate of the step just taken.
    assert rates.tolist() == pytest.approx([0.003, 0.003, 0.0003, 0.0003, 0.00003])


def test_an_epoch_is_one_in_runs_of_so_many_steps_too(tiny, tmp_path):
    options = ["--model.schedule.warmup=1", "--model.schedule.warmup_start=0.1", "--trainer.max_steps=6"]
    assert main(["fit", *tiny, *options, "--trainer.max_epochs=-1", f"--runs_dir={tmp_path}", "--name=run"]) == 0
    rates = pd.read_csv(tmp_path / "run" / "metrics.csv").dropna(subset="speed/step_ms")["lr"].tolist()
    cosine = [0.5 * (1 + math.cos(math.pi * i / 3)) for i in range(3)]
    assert rates == pytest.approx([0.003 * each for each in (0.1, 0.4, 0.7, *cosine)])


def test_throughput_is_printed_and_logged(tiny, tmp_path, monkeypatch, capfd):
    """By a clock of our own: each batch takes 0.2 s to come and 0.6 s to train, each validation 100 s."""
    now = [0.0]
    monkeypatch.setattr("nlvideo.training.throughput.time.monotonic", lambda: now[0])

    def advancing(name: str, seconds: float):
        hook = getattr(Throughput, name)

        def later(self, *args):
            now[0] += seconds
            hook(self, *args)

        monkeypatch.setattr(Throughput, name, later)

    advancing("start_batch", 0.2)
    advancing("end_batch", 0.6)
    after_validation = RunFolder.on_validation_end

    def later(self, *args):
        now[0] += 100
        after_validation(self, *args)

    monkeypatch.setattr(RunFolder, "on_validation_end", later)
    options = ["--trainer.max_epochs=2", *EACH_EPOCH, "--trainer.num_sanity_val_steps=0"]
    assert main(["fit", *tiny, *options, f"--runs_dir={tmp_path}", "--name=run"]) == 0
    rows = pd.read_csv(tmp_path / "run" / "metrics.csv").dropna(subset="speed/clips_per_s")
    assert rows["speed/clips_per_s"].tolist() == pytest.approx([10.0] * 6)
    assert rows["speed/data_ms"].tolist() == pytest.approx([200.0] * 6)
    assert rows["speed/step_ms"].tolist() == pytest.approx([600.0] * 6)
    assert rows["speed/peak_GB"].between(0.1, 50).all()
    first = re.search(r"step 1/6 .*", capfd.readouterr().out)[0]
    assert "10.0 clips/s  data 200 ms  step 600 ms" in first
    assert first.endswith("left 0:00:04")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model.activation_checkpoint_stages=[res9]"], "no stage 'res9'"),
        (["--model.optimizer.base_batch=0"], "at least 1 clip"),
        (["--trainer.max_epochs=-1"], "set trainer.max_epochs or max_steps"),
        (["--model.precise_bn=2", "--model.net.freeze_bn=statistics"], "leave one of them out"),
        (
            ["--model.optimizer.fused=true", "--trainer.gradient_clip_val=1", "--trainer.precision=bf16-mixed"],
            "leave one of them out",
        ),
    ],
)
def test_settings_that_cannot_be(options, words, tiny, tmp_path, capsys):
    assert main(["fit", *tiny, *SHORT, *options, f"--runs_dir={tmp_path}"]) == 1
    assert words in capsys.readouterr().err.strip().splitlines()[-1]


def test_speed_options_together_on_the_command_line(tiny, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr("nlvideo.task.compile_blocks", given.append)  # what it does is tested by itself
    options = ["--model.channels_last=true", "--model.compile=true", "--model.optimizer.fused=true"]
    options += ["--model.activation_checkpoint_stages=[res2, res3]", "--trainer.precision=bf16-mixed"]
    options += ["--trainer.gradient_clip_val=null"]  # which the fused optimizer refuses in mixed precision
    assert main(["fit", *tiny, *SHORT, *options, f"--runs_dir={tmp_path}", "--name=run"]) == 0
    (net,) = given
    weight = net.stages()["res2"].res_blocks[0].branch2.conv_a.weight
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert not weight.is_contiguous()
    checkpoint = f"--ckpt_path={tmp_path / 'run' / 'last.ckpt'}"
    assert main(["test", "-c", str(tmp_path / "run" / "config.yaml"), checkpoint]) == 0


def test_sync_batchnorm_reaches_every_norm():
    """As `--trainer.sync_batchnorm true` converts them; frozen statistics stay frozen."""
    net = nn.SyncBatchNorm.convert_sync_batchnorm(ResNet3d("c2d", [1, 1, 1, 1], 5, width=4, freeze_bn="statistics"))
    norms = [module for module in net.train().modules() if isinstance(module, nn.SyncBatchNorm)]
    assert len(norms) > 10
    assert not any(norm.training for norm in norms)


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """Nobody is logged in, and no run of another test goes on."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with suppress(OSError):  # of a run whose service was killed
        wandb.finish()
    return ["--trainer.logger=WandbLogger", f"--runs_dir={tmp_path}", "--name=logged", *SHORT, *EACH_EPOCH]


def test_wandb_gets_pictures(tiny, offline, tmp_path):
    assert main(["fit", *tiny, *offline]) == 0
    (media,) = (tmp_path / "logged" / "wandb").glob("offline-run-*/files/media")
    written = {file.relative_to(media).as_posix().split("_")[0] for file in media.rglob("*.*")}
    assert {"images/clips", "images/val/confusion"} <= written


def test_a_folder_that_wandb_cannot_write_to(tiny, offline, tmp_path):
    (tmp_path / "logged").mkdir()
    (tmp_path / "logged" / "wandb").write_text("a file where its folder would be")
    assert main(["fit", *tiny, *offline]) == 0
    assert (tmp_path / "logged" / "last.ckpt").is_file()
