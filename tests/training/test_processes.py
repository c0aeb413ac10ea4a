"""Two processes on gloo against one, and what happens where one of them is lost."""

import time
from functools import partial

import pandas as pd
import pytest
import torch
from lightning import Trainer
from torch import distributed, nn

from nlvideo.task import VideoClassifier
from nlvideo.training.precise_bn import update_statistics
from tests.distributed import run_ranks, start_nlvideo
from tests.training.cpu_sync_bn import convert_batch_norms
from tests.training.test_resume import SMALLER, without_table


def synchronise_batch_norms() -> None:
    """Put batch norms over all processes into the network before it is trained; torch's do not run on CPUs."""
    without_table()
    original = VideoClassifier.setup

    def setup(self, stage: str) -> None:
        original(self, stage)
        if self.trainer.world_size > 1:
            convert_batch_norms(self.net)

    VideoClassifier.setup = setup


NO_VALIDATION = "--trainer.limit_val_batches=0"


def test_two_processes_train_as_one_with_the_same_total_batch(tiny, tmp_path):
    """With batch norms over both; without mixup and dropout, for which each process draws by itself."""
    # adamw would turn the rounding of tiny gradients into whole steps, and more of them would let it grow.
    options = ["--model.optimizer={name: sgd, lr: 0.05}", "--trainer.max_epochs=1"]
    options += ["--model.schedule.warmup=0"]
    jobs = [
        start_nlvideo(
            ["fit", *tiny, *options, NO_VALIDATION, f"--data.batch_size={batch}", f"--runs_dir={tmp_path}", *name],
            num_ranks=num_ranks,
            before=synchronise_batch_norms,
        )
        for num_ranks, batch, name in ((1, 8, ["--name=one"]), (2, 4, ["--name=two"]))
    ]
    assert [job.wait() for job in jobs] == [[0], [0, 0]], jobs[1].output()
    one, two = (torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("one", "two"))
    torch.testing.assert_close(two["state_dict"], one["state_dict"], rtol=1e-4, atol=1e-5)
    one, two = (pd.read_csv(tmp_path / name / "metrics.csv") for name in ("one", "two"))
    for metric in ("train/loss_epoch", "train/top1"):
        pd.testing.assert_series_equal(one[metric], two[metric], rtol=1e-4)
    # What only the first process writes is there once, and nothing else is there.
    assert {file.name for file in (tmp_path / "one").iterdir()} == {file.name for file in (tmp_path / "two").iterdir()}


def fail_or_hang(how: str) -> None:
    without_table()
    original = VideoClassifier.training_step

    def training_step(self, *args):
        if self.trainer.global_rank == 1 and self.trainer.global_step == 1:
            if how == "hang":
                time.sleep(600)
            raise ValueError("the second process is not well")
        return original(self, *args)

    VideoClassifier.training_step = training_step


@pytest.mark.parametrize("how", ["fail", "hang"])
def test_a_process_that_is_lost_ends_the_run_with_the_reason(how, tiny, tmp_path):
    options = [NO_VALIDATION, "--data.batch_size=4", "--timeout_minutes=0.05", f"--runs_dir={tmp_path}", "--name=lost"]
    job = start_nlvideo(["fit", *tiny, *SMALLER, *options], num_ranks=2, before=partial(fail_or_hang, how))
    job.wait_until(lambda: "another process" in job.output())
    first, second = job.wait(0.5 if how == "hang" else 60)
    assert first == 1, job.output()
    assert second == (-9 if how == "hang" else 1)  # a launcher kills who hangs; here the test does
    assert "another process of this run has ended or hangs" in job.output()
    assert how == "hang" or "nlvideo: the second process is not well" in job.output()
    assert "Traceback" not in job.output()


def net_and_videos() -> tuple[nn.Module, list[torch.Tensor]]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4), nn.ReLU(), nn.Conv3d(4, 4, 1), nn.BatchNorm3d(4))
    return net, [torch.randn(2, 3, 4, 6, 6) * (1 + i) + 10 * i for i in range(4)]


def precise_statistics(num_ranks: int) -> dict[str, torch.Tensor]:
    net, videos = net_and_videos()
    mine = videos[distributed.get_rank() :: num_ranks] if num_ranks > 1 else videos
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    strategy = {"strategy": "ddp", "devices": num_ranks} if num_ranks > 1 else {}
    trainer = Trainer(accelerator="cpu", enable_model_summary=False, **quiet, **strategy)
    update_statistics(net, iter(mine), len(mine), trainer)
    return net.state_dict()


def test_precise_statistics_of_two_processes_are_those_of_all_batches():
    first, second = run_ranks(precise_statistics, 2)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    one = precise_statistics(1)
    for name in ("1.running_mean", "1.running_var", "4.running_mean", "4.running_var"):
        torch.testing.assert_close(first[name], one[name], rtol=1e-4, atol=1e-5)
