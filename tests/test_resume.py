"""A run that was stopped anywhere and started again ends with the weights of one that was not, bit by bit."""

import os
from pathlib import Path

import pandas as pd
import torch

from nlvideo.task import VideoClassifier
from tests.distributed import start_nlvideo

# Six batches an epoch, and everything that draws: crops, flips, mixup, dropout.
RUN = ["--data.batch_size=4", "--model.net.dropout=0.5", "--data.augment.mixup=0.4", "--trainer.max_epochs=2"]
RUN += ["--trainer.check_val_every_n_epoch=1"]


def signal_at(step: int, signum: int, hook: str = "training_step") -> None:
    """In the process of a run: it gets a signal in its `step`-th step, counted from 0."""
    original = getattr(VideoClassifier, hook)

    def signalled(self, *args):
        if self.trainer.global_step == step and not self.trainer.sanity_checking:
            os.kill(os.getpid(), signum)
        return original(self, *args)

    setattr(VideoClassifier, hook, signalled)


def fit(folder: Path, arguments: list[str], **options):
    return start_nlvideo(["fit", *arguments, f"--runs_dir={folder}", "--name=run"], **options)


def outcome(run: Path):
    checkpoint = torch.load(run / "last.ckpt", weights_only=True)
    metrics = pd.read_csv(run / "metrics.csv")
    return checkpoint["state_dict"], checkpoint["optimizer_states"], metrics


def assert_equal(run: Path, undisturbed: Path):
    for mine, other in zip(outcome(run)[:2], outcome(undisturbed)[:2], strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=0)
    mine, other = outcome(run)[2], outcome(undisturbed)[2]
    pd.testing.assert_frame_equal(mine[sorted(mine)], other[sorted(other)])
