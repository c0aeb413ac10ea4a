import pytest
import torch
from lightning import Trainer
from torch import nn

from nlvideo import task
from nlvideo.__main__ import main
from nlvideo.training.precise_bn import update_statistics


def test_statistics_are_those_of_all_batches():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4, momentum=0.3))
    videos = [torch.randn(size, 3, 4, 6, 6) + size for size in (2, 5, 3)]
    trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    update_statistics(net, iter(videos), len(videos), trainer)
    with torch.no_grad():
        seen = net[0](torch.cat(videos)).transpose(0, 1).flatten(1)  # (C, everything)
    torch.testing.assert_close(net[1].running_mean, seen.mean(1))
    torch.testing.assert_close(net[1].running_var, seen.var(1, correction=0), rtol=1e-3, atol=0)
    assert net[1].momentum == 0.3
    assert not net.training


@pytest.mark.parametrize("until", ["--trainer.max_epochs=2", "--trainer.max_steps=6"])
def test_a_run_computes_them_once_before_its_last_validation(until, tiny, tmp_path, monkeypatch):
    calls = []

    def spy(net, videos, num_batches, trainer):
        calls.append((trainer.global_step, num_batches))
        update_statistics(net, videos, num_batches, trainer)

    monkeypatch.setattr(task, "update_statistics", spy)
    arguments = ["fit", *tiny, f"--runs_dir={tmp_path}", "--name=precise", "--model.precise_bn=200", until]
    assert main(arguments) == 0
    checkpoint = torch.load(tmp_path / "precise" / "last.ckpt", weights_only=True)
    assert calls == [(checkpoint["global_step"], 3)]  # the small set has three batches
    # Averages of three batches and no trace of the start, which a running average would still have.
    assert checkpoint["state_dict"]["net.blocks.0.norm.num_batches_tracked"] == checkpoint["global_step"] + 3
