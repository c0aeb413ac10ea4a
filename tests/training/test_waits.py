"""Between two log steps the host never waits for the device."""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nlvideo.__main__ import main
from nlvideo.data.failures import Failures
from nlvideo.task import VideoClassifier
from tests.training.test_resume import SMALLER

# Six steps, of which the third and the sixth are logged. The reading process has its own tensors.
RUN = ["--data.batch_size=4", "--trainer.log_every_n_steps=3", "--trainer.max_epochs=1", "--data.num_workers=1"]
RUN += ["--model.optimizer={name: sgd, lr: 0.01}", "--model.mean=[0.4, 0.5, 0.6]", "--trainer.limit_val_batches=0"]
LOGGED = (2, 5)


class ReadsOfNumbers(TorchDispatchMode):
    """Counts how often a tensor's number is asked for, which waits for the device that computes it."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()
        self.step = None  # at hand, from 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            self.counts[self.step] += 1
        return function(*args, **(kwargs or {}))


def follow(monkeypatch, call) -> None:
    """Have call(step) called when a step begins, from its first hook on until the next step's."""

    def on_train_batch_start(self, *args):
        call(self.trainer.global_step)

    monkeypatch.setattr(VideoClassifier, "on_train_batch_start", on_train_batch_start, raising=False)


def test_no_number_is_read_in_steps_that_are_not_logged(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(Failures, "check", lambda self: None)  # in memory that the host shares with its readers
    monkeypatch.setattr(Failures, "in_epoch", 0)
    reads = ReadsOfNumbers()
    follow(monkeypatch, lambda step: setattr(reads, "step", step))
    with reads:
        assert main(["fit", *tiny, *SMALLER, *RUN, f"--runs_dir={tmp_path}"]) == 0
    assert {step for step in reads.counts if step is not None} == set(LOGGED)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_training_step_does_not_synchronize(tiny, tmp_path, monkeypatch):
    # The first step initialises cuDNN and the optimizer's state.
    follow(
        monkeypatch, lambda step: torch.cuda.set_sync_debug_mode("error" if step and step not in LOGGED else "default")
    )
    try:
        assert main(["fit", *tiny, *SMALLER, *RUN, f"--runs_dir={tmp_path}", "--trainer.accelerator=gpu"]) == 0
    finally:
        torch.cuda.set_sync_debug_mode("default")
