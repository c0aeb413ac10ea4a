"""The copy that evaluation runs, and the head that slides: the same numbers as the plain network and the equation."""

import pytest
import torch
from torch import nn

from nlvideo.blocks import DualAttention, NonLocal, SqueezeExcite
from nlvideo.models import DualAttentionHead, Insert, ResNet3d
from nlvideo.models.backbone import Backbone
from nlvideo.models.inference import inference_copy

NETS = {
    "c2d, non-local": {"after": Insert(NonLocal, {"res3": 1, "res4": 1})},
    "i3d, 32x2, SE": {"arch": "i3d", "temporal_stride": 4, "branch": Insert(SqueezeExcite, "all")},
    "basic, dual attention": {"residual": "basic", "after": Insert(DualAttention, {"res5": 1})},
    "frozen": {"freeze_bn": "affine", "after": Insert(NonLocal, {"res3": 1})},
    "dual attention head": {"head": DualAttentionHead, "pool1": "unpadded"},
}


def network(**options) -> ResNet3d:
    """Small, with statistics and scales as after some training."""
    torch.manual_seed(0)
    net = ResNet3d(depth=[1, 2, 1, 1], num_classes=5, width=8, **options).eval()
    for name, value in net.state_dict().items():
        if "norm" in name and value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5)
    return net


@pytest.mark.parametrize("name", NETS)
def test_the_inference_copy_computes_the_same_without_batch_norms(name):
    net = network(**NETS[name])
    before = {key: value.clone() for key, value in net.state_dict().items()}
    video = torch.randn(2, 3, 8, 64, 48)
    fast = inference_copy(net)
    with torch.no_grad():
        torch.testing.assert_close(fast(video), net(video), rtol=1e-4, atol=1e-5)
    assert not [m for m in fast.modules() if isinstance(m, nn.BatchNorm3d)]
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


@pytest.mark.parametrize("trained_crop", [None, 32])
def test_in_bfloat16_scores_agree_to_two_digits(trained_crop):
    net = network(**NETS["c2d, non-local"])
    video = torch.randn(4, 3, 8, 64, 64)
    with torch.no_grad():
        scores = inference_copy(net, torch.bfloat16).scores(video.bfloat16(), trained_crop)
        torch.testing.assert_close(scores, net.scores(video, trained_crop), rtol=0, atol=0.02)
    assert scores.dtype == torch.float32


@pytest.mark.parametrize("name", NETS)
def test_the_last_linear_layer_of_a_bfloat16_copy_is_the_networks_own(name):
    net = network(**NETS[name])
    fast = inference_copy(net, torch.bfloat16)
    assert next(fast.parameters()).dtype == torch.bfloat16
    assert torch.equal(fast.stages()["head"].proj.weight, net.stages()["head"].proj.weight)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("size", [(64, 64), (64, 96), (96, 64), (40, 40)])
def test_a_sliding_head_is_the_classifier_at_each_place(name, size):
    """Trained on squares of 56 pixels, whose last map has 2 x 2 places (padded) or 1 or 2."""
    net = network(**NETS[name])
    *body, head = net.blocks
    with torch.no_grad():
        trained = torch.randn(1, 3, 8, 56, 56)
        x = torch.randn(2, 3, 8, *size)
        for block in body:
            trained, x = block(trained), block(x)
        side = trained.shape[-1]
        features = head.features(x)
        height, width = features.shape[-2:]
        places = [
            head.classify(features[..., top : top + side, left : left + side], head.proj).softmax(dim=1)
            for top in range(max(height - side, 0) + 1)
            for left in range(max(width - side, 0) + 1)
        ]
        torch.manual_seed(1)
        video = torch.randn(2, 3, 8, *size)
        again = video
        for block in body:
            again = block(again)
        torch.testing.assert_close(head.slide(x, side), torch.stack(places).mean(dim=0))
        torch.testing.assert_close(net.scores(video, trained_crop=56), head.slide(again, side))


def test_where_the_map_is_as_in_training_sliding_changes_nothing():
    net = network(**NETS["c2d, non-local"])
    video = torch.randn(2, 3, 8, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(net.scores(video, trained_crop=64), net(video).softmax(dim=1))
        assert not torch.allclose(net.scores(video, trained_crop=32), net(video).softmax(dim=1), atol=1e-4)


@pytest.mark.parametrize("pool1", ["padded", "unpadded"])
def test_the_side_of_the_last_map(pool1):
    """Of every size near the usual crops, at some of which rounding up and down differ: 226, for one."""
    with torch.device("meta"):
        net = ResNet3d(depth=[1, 1, 1, 1], num_classes=2, width=1, residual="basic", pool1=pool1).eval()
        for side in [32, 50, 64, 112, *range(200, 261)]:
            x = torch.empty(1, 3, 1, side, side)
            for stage in list(net.stages().values())[:-1]:
                x = stage(x)
            assert net._map_side(side) == x.shape[-1], side


def test_a_network_without_such_a_head_says_so():
    class Mean(Backbone):
        def __init__(self):
            super().__init__(3, {})

        def forward(self, video):
            return video.mean(dim=(2, 3, 4))

    with pytest.raises(ValueError, match=r"Mean has no head that slides.*mmaction or uniform"):
        Mean().scores(torch.zeros(1, 3, 2, 4, 4), trained_crop=4)
