"""Attention maps equal the explicit matrix, for every pairwise function, domain, subsampling and temporal groups."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from nlvideo import blocks
from nlvideo.__main__ import main
from nlvideo.analysis import attention_maps, maps
from nlvideo.analysis.maps import block_names, influential_positions
from nlvideo.blocks import ChannelAttention, NonLocal, PositionAttention, SqueezeExcite
from nlvideo.models import Insert, ResNet3d
from nlvideo.ops import PAIRWISE

C, T, H, W = 6, 4, 4, 6
OPTIONS = [
    {},
    {"subsample": False},
    {"pool_after_projection": True},
    {"domain": "space"},
    {"domain": "time", "subsample": False},
    {"temporal_groups": 2},
]


def clip(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def all_positions():
    return torch.cartesian_prod(torch.arange(T), torch.arange(H), torch.arange(W))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("pairwise", ["gaussian", "embedded_gaussian", "dot_product", "concatenation"])
def test_the_weights_of_a_block_give_its_output(pairwise, options):
    """y_i = sum_j w_ij g_j with the block's own g, put back through its own last layers."""
    torch.manual_seed(0)
    block = NonLocal(C, pairwise=pairwise, init_std=0.5, init_scale=1.0, **options).double().eval()
    x = clip(2, C, T, H, W)
    weights = block.attention_weights(x, all_positions())  # (B, N, T, H', W')
    values = (
        block.conv_g(block.grouping.pool(x))
        if not block.pool_after_projection
        else block.grouping.pool(block.conv_g(x))
    )
    y = torch.einsum("bnthw,bdthw->bdn", weights, values).unflatten(2, (T, H, W))
    torch.testing.assert_close(x + block.norm(block.conv_out(y)), block(x), rtol=1e-9, atol=1e-9)
    if PAIRWISE[pairwise].is_softmax:
        torch.testing.assert_close(weights.sum(dim=(2, 3, 4)), torch.ones(2, T * H * W, dtype=torch.float64))


def test_the_weights_of_position_attention_give_its_output():
    torch.manual_seed(0)
    block = PositionAttention(C, reduction=2).double()
    nn.init.ones_(block.gamma)
    x = clip(2, C, T, H, W)
    weights = block.attention_weights(x, all_positions())
    y = torch.einsum("bnthw,bcthw->bcn", weights, block.value_conv(x)).unflatten(2, (T, H, W))
    torch.testing.assert_close(x + y, block(x))


def test_the_weights_of_channels_give_the_output():
    x = clip(2, C, T, H, W)
    gates, attention = SqueezeExcite(C, reduction=2).double(), ChannelAttention(C).double()
    nn.init.ones_(attention.gamma)
    torch.testing.assert_close(gates(x), x * gates.channel_weights(x)[..., None, None, None])
    mixed = torch.einsum("bij,bjthw->bithw", attention.channel_weights(x), x)
    torch.testing.assert_close(attention(x), x + mixed)


@pytest.mark.parametrize("name", blocks.__all__)
def test_every_block_says_what_it_weighs(name):
    block = getattr(blocks, name)
    known = {"attention_weights", "channel_weights"} & vars(block).keys()
    assert known or name in ("Block", "DualAttention")  # the latter is made of two blocks that do


def looking_net() -> ResNet3d:
    """A network whose block draws on bright pixels: queries and keys are the brightness."""
    torch.manual_seed(0)
    block = Insert(NonLocal, {"res2": [0]})
    net = ResNet3d("c2d", [1, 1, 1, 1], 3, width=2, residual="basic", stem_kernel=3, dropout=0.0, after=block)
    stem = net.blocks[0]
    nn.init.constant_(stem.conv.weight, 0.0)
    stem.conv.weight.data[:, :, 0, 1, 1] = 1.0  # the pixel under the centre alone
    stem.pool = nn.Identity()
    residual = net.blocks[1].res_blocks[0]
    nn.init.zeros_(residual.branch2.norm_b.weight)
    inner = residual.after
    for conv in (inner.conv_theta, inner.conv_phi):
        nn.init.constant_(conv.weight, 3.0)
        nn.init.constant_(conv.bias, 0.5)
    inner.grouping = replace(inner.grouping, subsample=False)
    return net.eval()


def test_the_attended_pixel_is_known():
    net = looking_net()
    video = torch.zeros(1, 3, 8, 32, 48)
    video[0, :, 5, 12, 30] = 4.0  # the stem takes every other pixel from 0
    (attention,) = attention_maps(net, video, queries=[(1, 3, 4)])
    weight, point = attention.strongest(1)[0]
    assert point == (5.0, 12.0, 30.0)
    assert weight > 0.5
    assert attention.query == (1, 2, 2)
    assert attention.point == (1.0, 4.0, 4.0)


def test_the_most_influential_position_is_where_the_block_adds():
    net = looking_net()
    block = net.blocks[1].res_blocks[0].after
    nn.init.ones_(block.norm.weight)
    video = torch.rand(1, 3, 8, 32, 48, generator=torch.Generator().manual_seed(0))
    path = block_names(net)["res2.0"]
    positions = influential_positions(net, video, path, label=1, count=3)
    assert len(set(positions)) == 3
    # By hand: the score with the addition of one position taken away.
    added = {}
    block.register_forward_hook(lambda module, args, output: added.update(x=args[0], z=output))
    score = net(video)[0, 1]
    effects = []
    for position in [*positions, (0, 0, 0), (7, 9, 11)]:
        (t, y, x), z = position, added["z"].detach().clone()
        z[..., t, y, x] = added["x"][..., t, y, x]
        hook = block.register_forward_hook(lambda module, args, output, z=z: z)
        effects.append(float((net(video)[0, 1] - score).abs()))
        hook.remove()
    assert min(effects[:3]) >= max(effects[3:]) - 1e-6


def test_all_positions_of_a_large_map_are_refused(monkeypatch):
    monkeypatch.setattr(maps, "MAX_BYTES", 10**6)
    net = ResNet3d("c2d", [1, 1, 1, 1], 3, width=2, residual="basic", after=Insert(NonLocal, "all")).eval()
    with pytest.raises(ValueError, match=r"maps over .* positions take up to .* GB; choose queries"):
        attention_maps(net, torch.zeros(1, 3, 8, 64, 64), blocks=["res2.0"], queries="all")


def test_a_network_without_attention_is_refused():
    with pytest.raises(ValueError, match="no block with attention maps"):
        attention_maps(ResNet3d("c2d", [1, 1, 1, 1], 3, width=2), torch.zeros(1, 3, 4, 32, 32))


def test_attend_writes_pictures_and_numbers(trained, visitors, tmp_path, capsys):
    video = visitors / "val" / "00001.mp4"
    options = ["--block", "res4.1", "--num_queries", "2"]
    ckpt_path = str(trained / "last.ckpt")
    assert main(["attend", str(video), "--ckpt_path", ckpt_path, "-o", str(tmp_path / "maps"), *options]) == 0
    files = {file.name for file in (tmp_path / "maps").iterdir()}
    assert files == {
        *(f"res4.1_{name}.{kind}" for name in ("query0", "query1", "strips") for kind in ("png", "pdf")),
        *("res4.1_time.gif", "attention.json", "attention.npz"),
    }
    result = json.loads((tmp_path / "maps" / "attention.json").read_text())
    assert result["frames"] == [3, 11, 19, 27, 35, 43, 51, 59]
    arrays = np.load(tmp_path / "maps" / "attention.npz")
    assert arrays["res4.1/weights"].sum(axis=(1, 2, 3)) == pytest.approx(np.ones(2), abs=1e-5)
    query = result["blocks"]["res4.1"][0]["query"]
    assert 0 <= query["row"] <= 63
    assert query["seconds"] == pytest.approx(query["frame"] / 16)
    assert "res4.1: pictures" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--block=res5.0"], "--block res5.0: no such block; expected some of res3.0, res3.1, res4.1"),
        (["--query=8,0,0"], "--query: frame 8; the clip has frames 0 to 7"),
        (["--num_queries=0"], "--num_queries 0: expected at least 1"),
    ],
)
def test_bad_input(given, words, trained, visitors, tmp_path, capsys):
    video = visitors / "val" / "00001.mp4"
    assert main(["attend", str(video), "--ckpt_path", str(trained / "last.ckpt"), "-o", str(tmp_path), *given]) == 1
    assert words in capsys.readouterr().err
