"""What a training step computes, against its definition."""

import copy

import pytest
import torch
from lightning import Trainer
from torch.nn import functional as F

from nlvideo.__main__ import main
from nlvideo.data.module import VideoData
from nlvideo.models import ResNet3d
from nlvideo.task import VideoClassifier
from nlvideo.training.loss import hits
from tests.distributed import run_ranks
from tests.training.test_resume import SMALLER

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def test_data_and_network_must_agree_on_the_classes(visitors):
    manifest = str(visitors / "val.csv")
    data = VideoData(4, manifest, manifest, num_workers=0)
    task = VideoClassifier(ResNet3d("c2d", [1, 1, 1, 1], 5, width=4))
    with pytest.raises(ValueError, match="the data has 4 classes, the network 5"):
        Trainer(**QUIET).validate(task, data, verbose=False)


def test_accuracy_counts_the_share_of_a_mixed_label():
    logits = torch.tensor([[0.1, 2.0, 0.3], [1.0, 0.0, 0.0]])
    assert hits(logits, torch.tensor([1, 2])).tolist() == [1, 0]
    mixed = torch.tensor([[0.75, 0.25, 0.0], [0.5, 0.0, 0.5]])
    assert hits(logits, mixed).tolist() == [0.25, 0.5]


def smoothed_loss(logits: torch.Tensor, label: torch.Tensor, smoothing: float) -> torch.Tensor:
    """-sum_k q_k log p_k with q = (1 - s) of the label + s / K (Szegedy et al. 2016, section 7)."""
    target = (1 - smoothing) * F.one_hot(label, logits.shape[1]) + smoothing / logits.shape[1]
    return -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()


def test_each_step_takes_the_mean_gradient_of_its_batches(tiny, tmp_path, monkeypatch):
    """Of label-smoothed losses; three batches an epoch, two for a step: the last step has one."""
    step, batches, compared = VideoClassifier.training_step, [], []

    def training_step(self, clips, batch_index):
        batches.append((copy.deepcopy(self.net), clips))
        return step(self, clips, batch_index)

    def on_before_optimizer_step(self, optimizer):
        net = batches[0][0]
        net.zero_grad()
        for _, clips in batches:
            logits = net((clips.video[:, 0] / 255 - 0.45) / 0.225)
            (smoothed_loss(logits, clips.label, 0.3) / len(batches)).backward()
        for mine, other in zip(self.net.parameters(), net.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, other.grad, rtol=1e-3, atol=1e-5)
        compared.append(len(batches))
        batches.clear()

    monkeypatch.setattr(VideoClassifier, "training_step", training_step)
    monkeypatch.setattr(VideoClassifier, "on_before_optimizer_step", on_before_optimizer_step, raising=False)
    options = ["--trainer.accumulate_grad_batches=2", "--model.label_smoothing=0.3", "--trainer.max_epochs=1"]
    options += ["--trainer.limit_val_batches=0", f"--runs_dir={tmp_path}"]
    assert main(["fit", *tiny, *SMALLER, *options]) == 0
    assert compared == [2, 1]


def statistics_in_a_validation() -> torch.Tensor:
    """Of a process whose batches were its own."""
    torch.manual_seed(0)
    task = VideoClassifier(ResNet3d("c2d", [1, 1, 1, 1], 4, width=4))
    trainer = Trainer(accelerator="cpu", strategy="ddp", devices=2, **QUIET)
    trainer.state.fn = "fit"
    task.trainer = trainer
    task.net(torch.randn(2, 3, 2, 32, 32) + trainer.global_rank)
    task.on_validation_start()
    return torch.cat([buffer.flatten().float() for buffer in task.net.buffers()])


def test_all_processes_validate_with_the_statistics_of_the_first():
    first, second = run_ranks(statistics_in_a_validation)
    assert torch.equal(first, second)
