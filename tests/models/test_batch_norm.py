"""What each way to treat batch norms does to their statistics and weights in a step of training."""

import pytest
import torch
from torch import nn

from nlvideo.blocks import NonLocal
from nlvideo.blocks.frozen_affine import FrozenAffine
from nlvideo.models import Insert, ResNet3d


def network(freeze_bn: str) -> ResNet3d:
    torch.manual_seed(0)
    return ResNet3d("c2d", [1, 1, 1, 1], 5, width=4, freeze_bn=freeze_bn, after=Insert(NonLocal, {"res3": 1}))


@pytest.mark.parametrize(
    ("freeze_bn", "statistics_move", "weights_move"), [("none", True, True), ("statistics", False, True)]
)
def test_statistics_and_weights(freeze_bn, statistics_move, weights_move):
    net = network(freeze_bn).eval().train()
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm3d)]
    before = [(norm.running_var.clone(), norm.weight.detach().clone()) for norm in norms]
    video = 3 + torch.randn(2, 3, 4, 32, 32)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(2):  # a zero weight blocks the gradient of what stands before it once
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(video), torch.tensor([1, 3])).backward()
        optimizer.step()
    for norm, (variance, weight) in zip(norms, before, strict=True):
        assert torch.equal(norm.running_var, variance) != statistics_move
        assert torch.equal(norm.weight, weight) != weights_move


def test_frozen_statistics_normalise_training_clips_as_evaluation_does():
    net = network("statistics")
    net.stages()["head"].dropout.p = 0.0
    video = torch.randn(2, 3, 4, 32, 32)
    trained = net(video)
    torch.testing.assert_close(trained, net.eval()(video))
    torch.testing.assert_close(trained[:1], net.train()(video[:1]))  # whatever else is in the batch


def test_frozen_affine_has_nothing_to_train_and_keeps_mixed_precision():
    net = network("affine")
    assert not [module for module in net.modules() if isinstance(module, nn.BatchNorm3d)]
    affine = next(module for module in net.modules() if isinstance(module, FrozenAffine))
    assert not list(affine.parameters())
    assert affine(torch.randn(1, affine.weight.numel(), 2, 3, 3).bfloat16()).dtype == torch.bfloat16
