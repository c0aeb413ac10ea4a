"""ResNet3d against pytorchvideo's networks with the same weights, and what inserting a block does."""

import functools
import inspect

import pytest
import torch
from pytorchvideo.models.hub.resnet import c2d_r50, i3d_r50
from torch import nn

from nlvideo import blocks
from nlvideo.checkpoint import build
from nlvideo.models import DualAttentionHead, Insert, ResNet3d

BLOCKS = [
    block
    for block in map(blocks.__dict__.get, blocks.__all__)
    if inspect.isclass(block) and issubclass(block, blocks.Block) and block is not blocks.Block
]
HUB = {"c2d": c2d_r50, "i3d": i3d_r50}


def narrow(**settings):
    """A network that is small enough to run in each test."""
    torch.manual_seed(0)
    defaults = {"depth": [1, 2, 2, 1], "width": 4, "num_classes": 5, "dropout": 0.0}
    return ResNet3d(**{**defaults, **settings})


def clip(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def randomised(net):
    """Norms far from their start, where the last norm of each branch would hide the branch."""
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.0, generator=generator)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(generator=generator)
    return net


@pytest.mark.parametrize("depth", [50, 101])
@pytest.mark.parametrize("arch", ["c2d", "i3d"])
def test_parameters_have_pytorchvideos_names_and_shapes(arch, depth):
    with torch.device("meta"):
        ours, theirs = ResNet3d(arch, depth), HUB[arch](model_depth=depth)
    assert shapes(ours) == shapes(theirs)


def shapes(net):
    return {name: tensor.shape for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize(("arch", "depth"), [("c2d", 50), ("i3d", 50), ("i3d", 101)])
def test_logits_equal_pytorchvideos_with_its_weights(arch, depth):
    width = 8
    theirs = HUB[arch](model_depth=depth, stem_dim_out=width, model_num_class=7, head_pool_kernel_size=(4, 2, 2))
    ours = ResNet3d(arch, depth, 7, width=width)
    ours.load_state_dict(randomised(theirs).eval().state_dict())
    x = clip(2, 3, 8, 64, 64)
    with torch.no_grad():
        expected = theirs(x)
        torch.testing.assert_close(ours.eval()(x), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.01


# Where a convolution sees three frames: reference architecture of the paper's code.
INFLATED = {
    50: {"res2": "111", "res3": "1010", "res4": "101010", "res5": "010"},
    101: {"res2": "111", "res3": "1010", "res4": "10101010101010101010101", "res5": "010"},
}


@pytest.mark.parametrize("depth", [50, 101])
@pytest.mark.parametrize(("arch", "inflated"), [("c2d", None), ("i3d", "conv_a"), ("i3d_3x3x3", "conv_b")])
def test_which_convolutions_see_several_frames(arch, inflated, depth):
    with torch.device("meta"):
        net = ResNet3d(arch, depth)
    assert net.blocks[0].conv.kernel_size == ((1 if arch == "c2d" else 5), 7, 7)
    for stage, (name, pattern) in zip((1, 3, 4, 5), INFLATED[depth].items(), strict=True):
        for conv in ("conv_a", "conv_b", "conv_c"):
            times = [block.branch2.get_submodule(conv).kernel_size[0] for block in net.blocks[stage].res_blocks]
            expected = [3 if conv == inflated and digit == "1" else 1 for digit in pattern]
            assert times == expected, f"{name}.{conv}"


@pytest.mark.parametrize(
    ("temporal_stride", "frames", "sizes"),
    [
        (1, 8, [(8, 56), (8, 56), (4, 56), (4, 28), (4, 14), (4, 7)]),
        (4, 32, [(8, 56), (8, 56), (4, 56), (4, 28), (4, 14), (4, 7)]),
    ],
)
def test_sizes_of_the_maps(temporal_stride, frames, sizes):
    with torch.device("meta"):
        net, x = ResNet3d("i3d", temporal_stride=temporal_stride), torch.empty(1, 3, frames, 224, 224)
        for block, (t, side) in zip(net.blocks, sizes, strict=False):
            x = block(x)
            assert x.shape[2:] == (t, side, side)


@pytest.mark.parametrize("temporal_stride", [1, 4])
@pytest.mark.parametrize("arch", ["c2d", "i3d", "i3d_3x3x3"])
@pytest.mark.parametrize("size", [(1, 64, 64), (3, 65, 79), (4, 112, 64), (9, 64, 97)], ids=str)
def test_takes_any_size_and_length(arch, temporal_stride, size):
    net = narrow(arch=arch, temporal_stride=temporal_stride, after=Insert(at={"res3": 2, "res4": 1}))
    assert net(clip(2, 3, *size)).shape == (2, 5)


@pytest.mark.parametrize("position", ["after", "branch"])
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_an_inserted_block_renames_nothing(block, position):
    plain = narrow().state_dict()
    filled = narrow(**{position: Insert(block, {"res2": 1, "res4": [-1]})}).state_dict()
    added = sorted(filled.keys() - plain.keys())
    assert plain.keys() <= filled.keys()
    assert added
    assert all(
        name.startswith((f"blocks.1.res_blocks.0.{position}.", f"blocks.4.res_blocks.1.{position}.")) for name in added
    )


def test_a_block_that_adds_nothing_leaves_the_logits_of_the_base():
    x = clip(2, 3, 4, 64, 64)
    plain, filled = randomised(narrow()).eval(), narrow(after=Insert(at="all")).eval()
    filled.load_state_dict(plain.state_dict(), strict=False)
    torch.testing.assert_close(filled(x), plain(x), rtol=0, atol=0)


class Double(blocks.Block):
    def forward_clip(self, x):
        return 2 * x


class Less(blocks.Block):
    def forward_clip(self, x):
        return x - 1


@pytest.mark.parametrize(
    ("position", "equation"),
    [
        ("standard", lambda x, shortcut, residual: torch.relu(shortcut(x) + 2 * residual(x)) - 1),
        ("pre", lambda x, shortcut, residual: torch.relu(shortcut(x) + residual(2 * x)) - 1),
        ("post", lambda x, shortcut, residual: 2 * torch.relu(shortcut(x) + residual(x)) - 1),
        ("identity", lambda x, shortcut, residual: torch.relu(2 * shortcut(x) + residual(x)) - 1),
    ],
)
@pytest.mark.parametrize("i", [0, 1], ids=["projected shortcut", "plain shortcut"])
def test_positions_are_where_the_equations_say(i, position, equation):
    """after(relu(shortcut + branch(residual))), and Hu et al. 2018, Fig. 5."""
    where = {"res3": [i]}
    net = narrow(after=Insert(Less, where), branch=Insert(Double, where), branch_position=position)
    block = randomised(net).eval().stages()["res3"].res_blocks[i]
    x = clip(1, block.in_channels, 2, 8, 8)
    expected = equation(x, lambda x: block.branch1_norm(block.branch1_conv(x)), lambda x: block.branch2(x))
    torch.testing.assert_close(block(x), expected)


def test_several_kinds_of_blocks_stand_after_residual_blocks():
    net = narrow(after={"early": Insert(at={"res3": 2}), "late": Insert(blocks.DualAttention, {"res5": [0]})})
    kinds = {
        name: [type(block.after).__name__ for block in net.stages()[name].res_blocks]
        for name in ("res3", "res4", "res5")
    }
    assert kinds == {"res3": ["NonLocal"] * 2, "res4": ["Identity"] * 2, "res5": ["DualAttention"]}


def test_two_blocks_at_one_position_are_an_error():
    with pytest.raises(ValueError, match=r"after, res3\[1\]: two blocks at position 'after'"):
        narrow(after={"x": Insert(at={"res3": 2}), "y": Insert(blocks.DualAttention, {"res3": [1]})})


def test_bare_is_the_network_without_blocks():
    filled = narrow(after=Insert(at="all"), branch=Insert(blocks.SqueezeExcite, "all"), head=DualAttentionHead)
    assert shapes(filled.bare()) == shapes(narrow())


def test_residual_branches_start_at_zero_unless_told():
    x = clip(1, 16, 2, 8, 8)
    zero, free = (narrow(zero_init_residual=start).blocks[1].res_blocks[0].eval() for start in (True, False))
    assert not zero.branch2(clip(1, 4, 2, 8, 8)).any()
    assert free.branch2(clip(1, 4, 2, 8, 8)).any()
    assert zero.channels == x.shape[1]


@pytest.mark.parametrize("residual", ["bottleneck", "basic"])
def test_small_nets_have_their_width(residual):
    net = narrow(residual=residual, stem_kernel=5)
    channels = [blocks[-1].channels for blocks in net.residual_blocks().values()]
    assert channels == [(4 if residual == "bottleneck" else 1) * 4 * 2**stage for stage in range(4)]
    assert net.blocks[0].conv.kernel_size == (1, 5, 5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"arch": "r2plus1d"}, "arch 'r2plus1d': expected c2d, i3d or i3d_3x3x3"),
        ({"temporal_stride": 3}, "temporal_stride 3: expected 1 or 4"),
        ({"residual": "wide"}, "residual 'wide': expected bottleneck or basic"),
        ({"branch_position": "before"}, "branch_position 'before': expected standard, pre, post or identity"),
        ({"depth": 34}, r"depth 34: expected 50, 101, or four numbers"),
        ({"depth": [1, 2, 2]}, r"depth \[1, 2, 2\]: expected four numbers"),
        ({"depth": [1, 0, 2, 1]}, r"each at least 1"),
        ({"arch": "i3d_3x3x3", "residual": "basic"}, "with residual 'basic' use 'i3d'"),
        ({"num_classes": 0}, "num_classes: expected at least 1, got 0"),
        ({"after": Insert(at="nl5")}, "res4 has 2 residual blocks"),
    ],
)
def test_impossible_settings_name_the_possible_ones(settings, words):
    with pytest.raises(ValueError, match=words):
        narrow(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"arch": "i3d", "temporal_stride": 4, "after": Insert(at={"res3": [0, -1], "res4": 1})},
        {"residual": "basic", "branch": Insert(blocks.SqueezeExcite, "all")},
        {"after": Insert(functools.partial(blocks.NonLocal, pairwise="dot_product", norm="affine"), {"res3": 1})},
        {"after": {"early": Insert(at={"res3": 1}), "late": Insert(blocks.DualAttention, {"res5": 1})}},
        {"branch": Insert(blocks.SqueezeExcite, "all"), "branch_position": "pre"},
        {"head": functools.partial(DualAttentionHead, auxiliary=True, time_kernel=3)},
    ],
    ids=["plain", "placed", "branch", "options", "several", "position", "head"],
)
def test_its_record_builds_an_equal_network(settings):
    net = randomised(narrow(**settings)).eval()
    again = build(net.config())
    again.load_state_dict(net.state_dict())
    assert again.config() == net.config()
    x = clip(1, 3, 4, 64, 64)
    torch.testing.assert_close(again.eval()(x), net(x), rtol=0, atol=0)


def test_a_function_cannot_be_recorded():
    net = narrow(after=Insert(lambda channels: blocks.NonLocal(channels), {"res3": 1}))
    with pytest.raises(ValueError, match=r"give a class or functools\.partial of a class"):
        net.config()
