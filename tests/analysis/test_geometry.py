"""Positions of maps are put back to pixels through every stride, padding and pooling."""

import pytest
import torch
from torch import nn

from nlvideo.analysis.geometry import Grid, block_grids
from nlvideo.blocks import Block
from nlvideo.models import Insert, ResNet3d, insert_blocks

CLIP = (8, 176, 192)


class Identity(Block):
    def forward_clip(self, x):
        return x


def linear_twin(net: nn.Module) -> nn.Module:
    """Make every convolution and pooling a plain mean, so that a position's gradient is centred where it looks."""
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.MaxPool3d):
            twin = nn.AvgPool3d(module.kernel_size, module.stride, module.padding, module.ceil_mode)
            net.set_submodule(name, twin)
    for parameter in net.parameters():
        if parameter.ndim == 5:
            nn.init.constant_(parameter, 1 / parameter[0].numel())
        elif parameter.ndim == 1:
            nn.init.ones_(parameter)
    return net.eval()


def centroid(net: nn.Module, path: str, position) -> list[float]:
    """Where in the clip the map at `path` looks, by the gradient of one position."""
    caught = {}
    hook = net.get_submodule(path).register_forward_pre_hook(lambda module, args: caught.update(x=args[0]))
    video = torch.ones(1, 3, *CLIP, requires_grad=True)
    net(video)
    hook.remove()
    t, y, x = position
    (grad,) = torch.autograd.grad(caught["x"][0, :, t, y, x].sum(), video)
    mass = grad[0].sum(dim=0).double()  # (T, H, W)
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in CLIP), indexing="ij")
    return [float((axis * mass).sum() / mass.sum()) for axis in axes]


@pytest.mark.parametrize("temporal_stride", [1, 4])
@pytest.mark.parametrize("pool1", ["padded", "unpadded"])
def test_centres_of_a_resnet_are_where_its_positions_look(pool1, temporal_stride):
    net = ResNet3d(
        "c2d",
        [1, 2, 1, 1],
        5,
        width=2,
        stem_kernel=5,
        pool1=pool1,
        temporal_stride=temporal_stride,
        after=Insert(Identity, {"res2": [0], "res3": [1], "res4": [0]}),
    )
    grids = block_grids(net, CLIP)
    assert len(grids) == 3
    linear_twin(net)
    for path, grid in grids.items():
        middle = [n // 2 for n in grid.size]  # clear of the borders
        assert grid.centre(middle)[1:] == pytest.approx(centroid(net, path, middle)[1:], abs=1e-3)
        if temporal_stride == 1:  # no padding over time cuts windows off
            assert grid.centre(middle)[0] == pytest.approx(centroid(net, path, middle)[0], abs=1e-3)


def test_pooled_keys_lie_between_the_positions_that_they_pool():
    grid = Grid((0.0, 3.0, 3.0), (1.0, 4.0, 4.0), (8, 7, 6)).pooled((8, 3, 3))
    assert grid.centre((2, 0, 1)) == (2.0, 5.0, 13.0)  # rows 3 and 7; columns 11 and 15


def test_a_point_goes_to_the_nearest_position():
    grid = Grid((0.5, 3.0, 3.0), (2.0, 4.0, 4.0), (4, 8, 8))
    assert grid.nearest((7, 0, 18)) == (3, 0, 4)


def test_blocks_inserted_into_another_model():
    model = nn.Sequential(nn.Conv3d(3, 4, 3, stride=(1, 2, 2), padding=1), nn.ReLU(), nn.Conv3d(4, 4, 3, stride=2))
    insert_blocks(model, {"1": Identity, "2": Identity}, input_shape=(1, 3, *CLIP))
    first, second = block_grids(model, CLIP).values()
    assert (first.first, first.step) == ((0, 0, 0), (1, 2, 2))
    assert (second.first, second.step) == ((1, 2, 2), (2, 4, 4))


def test_several_pathways_are_refused():
    class TwoPathways(nn.Module):
        def __init__(self):
            super().__init__()
            self.slow, self.fast = nn.Conv3d(3, 4, 1, stride=2), nn.Conv3d(3, 4, 1)
            self.block = Identity(4)

        def forward(self, video):
            return self.block(self.slow(video)).mean() + self.fast(video).mean()

    with pytest.raises(ValueError, match="no chain of convolutions"):
        block_grids(TwoPathways(), CLIP)
