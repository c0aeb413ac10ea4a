"""Two sharded processes against two that hold everything."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from lightning import Trainer
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

import nlvideo
from nlvideo.models import ResNet3d
from nlvideo.task import VideoClassifier
from nlvideo.training.sanity_checks import FiniteLoss
from nlvideo.training.sharding import shard
from tests.distributed import run_ranks, start_nlvideo
from tests.training.test_resume import without_table

# All that has to do with parameters, down to those of a single number.
RUN = ["--data.batch_size=6", "--trainer.sync_batchnorm=true", "--trainer.gradient_clip_val=0.5"]
RUN += ["--model.optimizer={name: sgd, lr: 0.05}", "--model.schedule={name: steps, milestones: [1]}"]
RUN += ["--model.channels_last=true", "--model.activation_checkpoint_stages=[res2, res4]", "--model.precise_bn=1"]
RUN += ["--model.net.depth=[1, 1, 1, 1]", "--model.net.after.at={res3: 1}", "--model.net.head=DualAttentionHead"]


def say_share() -> None:
    """Each process of a run says how much of the parameters it holds."""
    without_table()

    def on_train_start(self):
        parameters = list(self.parameters())
        own = sum((p.to_local() if isinstance(p, DTensor) else p).numel() for p in parameters)
        print(f"holds {own / sum(p.numel() for p in parameters):.1f} of the parameters")

    VideoClassifier.on_train_start = on_train_start


def fit(tiny: list[str], folder: Path, strategy: str, num_epochs: int) -> None:
    arguments = ["fit", *tiny, *RUN, f"--runs_dir={folder.parent}", f"--name={folder.name}"]
    job = start_nlvideo(
        [*arguments, f"--trainer.max_epochs={num_epochs}"], num_ranks=2, strategy=strategy, before=say_share
    )
    assert job.wait() == [0, 0], job.output()
    share = {"ddp": 1.0, "fsdp": 0.5}[strategy]
    assert job.output().count(f"holds {share} of the parameters") == 2, job.output()


def optimizer_groups(checkpoint: dict[str, Any]) -> list[dict[str, Any]]:
    return checkpoint["optimizer_states"][0]["param_groups"]


def momenta(checkpoint: dict[str, Any]) -> dict[int, torch.Tensor]:
    return {number: of_one["momentum_buffer"] for number, of_one in checkpoint["optimizer_states"][0]["state"].items()}


def test_sharded_processes_train_and_go_on_as_whole_ones(tiny, tmp_path):
    """With checkpoints of the same form, so that either goes on from the other's."""
    for folder, strategy, num_epochs in (("whole", "ddp", 2), ("sharded", "fsdp", 1), ("sharded", "fsdp", 2)):
        fit(tiny, tmp_path / folder, strategy, num_epochs)
    last = tmp_path / "sharded" / "last.ckpt"
    sharded, whole = (torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("sharded", "whole"))
    torch.testing.assert_close(sharded["state_dict"], whole["state_dict"], rtol=1e-4, atol=1e-5)
    assert optimizer_groups(sharded) == optimizer_groups(whole)
    torch.testing.assert_close(momenta(sharded), momenta(whole), rtol=1e-3, atol=1e-4)
    net = nlvideo.load(last)
    for name, weight in net.state_dict().items():
        assert torch.equal(weight, sharded["state_dict"][f"net.{name}"])
    sharded, whole = (pd.read_csv(tmp_path / name / "metrics.csv") for name in ("sharded", "whole"))
    for metric in ("train/loss_step", "train/loss_epoch"):
        pd.testing.assert_series_equal(sharded[metric], whole[metric], rtol=1e-4)
    sharded, whole = (rows["val/clip_loss"].dropna().iloc[-1] for rows in (sharded, whole))
    assert sharded == pytest.approx(whole, rel=1e-4)


def good_and_bad_weights() -> list[str]:
    """What the guard says, before and after a number that only the second process holds is spoilt."""
    net = ResNet3d(depth=[1, 1, 1, 1], num_classes=4, width=4)
    shard(net, init_device_mesh("cpu", (2,)))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = SimpleNamespace(
        strategy=Trainer(accelerator="cpu", strategy="ddp", devices=2, enable_model_summary=False, **quiet).strategy,
        lightning_module=SimpleNamespace(net=net),
        datamodule=SimpleNamespace(samples={"train": [SimpleNamespace(path="a.mp4"), SimpleNamespace(path="b.mp4")]}),
    )
    rank, said = distributed.get_rank(), []
    for spoilt in (False, True):
        if spoilt and rank == 1:
            net.blocks[-1].proj.bias.to_local().data[-1] = math.inf
        guard = FiniteLoss()
        guard._batches = [(3, torch.tensor([rank]))]
        try:
            guard.check(trainer, weights=True)
            said.append("")
        except ValueError as error:
            said.append(str(error))
    return said


def test_weights_of_one_process_that_are_not_finite_stop_all():
    (good, bad), (also_good, also_bad) = run_ranks(good_and_bad_weights)
    assert good == also_good == ""
    assert "weights not finite from step 3 on, in the batch of a.mp4" in bad
    assert "weights not finite from step 3 on, in the batch of b.mp4" in also_bad
