"""However a training ends: precise batch norm, a validation of the final weights, last.ckpt, and the best of both."""

import json

import pandas as pd
import pytest
import torch

from nlvideo import task as task_module
from nlvideo.__main__ import main
from nlvideo.evaluation import multi_view
from nlvideo.task import VideoClassifier
from nlvideo.training.precise_bn import update_statistics
from tests.training.test_resume import SMALLER


@pytest.fixture
def fit(tiny, tmp_path):
    """fit(*options) of epochs of 3 steps: the run's folder."""

    def run(*options: str):
        assert main(["fit", *tiny, *SMALLER, f"--runs_dir={tmp_path}", "--name=run", *options]) == 0
        return tmp_path / "run"

    return run


def second_per_step(monkeypatch) -> None:
    """A clock that a training step advances by a second."""
    now, step = [0.0], VideoClassifier.training_step

    def training_step(self, *args):
        now[0] += 1
        return step(self, *args)

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(VideoClassifier, "training_step", training_step)


ENDS = {
    "steps in mid-epoch": (["--trainer.max_steps=5", "--trainer.max_epochs=-1"], 5, 1),
    "time in mid-epoch": (["--trainer.max_time=00:00:00:05", "--trainer.max_epochs=4"], 5, 1),
    "epoch without validation": (["--trainer.max_epochs=3"], 9, 2),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_final_weights_are_validated_and_have_precise_statistics(name, fit, monkeypatch):
    options, last_step, num_validations = ENDS[name]
    calls = []

    def spy(net, videos, num_batches, trainer):
        calls.append((trainer.global_step, num_batches))
        update_statistics(net, videos, num_batches, trainer)

    monkeypatch.setattr(task_module, "update_statistics", spy)
    if "time" in name:
        second_per_step(monkeypatch)
    folder = fit("--model.precise_bn=200", "--trainer.check_val_every_n_epoch=2", *options)
    assert calls == [(last_step, 3)]  # once; the set has three batches
    checkpoint = torch.load(folder / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == last_step
    # Averages of three batches and no trace of the start, which a running average would still have.
    assert checkpoint["state_dict"]["net.blocks.0.norm.num_batches_tracked"] == last_step + 3
    validated = pd.read_csv(folder / "metrics.csv").dropna(subset="val/clip_top1")["step"]
    assert len(validated) == num_validations
    assert validated.iloc[-1] == last_step - 1
    assert json.loads((folder / "fit.json").read_text())["epochs"] == -(-last_step // 3)


def test_without_a_validation_the_statistics_are_precise_too(fit):
    folder = fit("--model.precise_bn=2", "--trainer.limit_val_batches=0", "--trainer.max_steps=2")
    norms = torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]
    assert norms["net.blocks.0.norm.num_batches_tracked"] == 2 + 2


@pytest.mark.parametrize(("top1", "best_step"), [([0.9, 0.5], 6), ([0.5, 0.9], 9)])
def test_the_best_checkpoint_is_that_of_the_best_validation_and_may_be_the_final_one(top1, best_step, fit, monkeypatch):
    values, score = iter(top1), multi_view.accuracies
    monkeypatch.setattr(multi_view, "accuracies", lambda *args: {**score(*args), "top1": next(values)})
    options = ["--trainer.max_epochs=3", "--trainer.check_val_every_n_epoch=2", "--trainer.num_sanity_val_steps=0"]
    folder = fit(*options)
    assert torch.load(folder / "best.ckpt", weights_only=True)["global_step"] == best_step


def test_precise_statistics_and_early_stopping_are_refused_together(tiny, tmp_path, capsys):
    early = "--trainer.callbacks={class_path: EarlyStopping, init_args: {monitor: val/clip_top1}}"
    arguments = ["fit", *tiny, *SMALLER, f"--runs_dir={tmp_path}", "--model.precise_bn=2", early]
    assert main(arguments) == 1
    assert "EarlyStopping" in capsys.readouterr().err.strip().splitlines()[-1]
