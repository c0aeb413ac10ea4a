import torch
from lightning import Trainer
from torch import nn

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
    assert net.training
