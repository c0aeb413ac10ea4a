"""DANet's equations (Fu et al. 2019) with their matrices, in float64."""

import pytest
import torch
from torch.nn import functional as F

from nlvideo import ops
from nlvideo.blocks import ChannelAttention, DualAttention, PositionAttention

C = 16


@pytest.fixture(autouse=True)
def same_start():
    torch.manual_seed(0)


def clip(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def position_attention(block, x):
    """With the N x N matrix; each 1x1 convolution is a matrix from channels to channels."""
    flat = x.flatten(2)  # (B, C, N)
    query, key, value = (
        torch.einsum("dc,bcn->bdn", conv.weight[:, :, 0, 0, 0], flat) + conv.bias[:, None]
        for conv in (block.query_conv, block.key_conv, block.value_conv)
    )
    similarity = torch.exp(torch.einsum("bdi,bdj->bij", query, key))  # (B, N, N)
    weights = similarity / similarity.sum(dim=2, keepdim=True)
    return (block.gamma * torch.einsum("bij,bcj->bci", weights, value) + flat).reshape(x.shape)


def channel_attention(block, x):
    """Channel by channel: softmax over the row's maximum less its energies."""
    out = x.clone()
    for b in range(len(x)):
        a = x[b].flatten(1)  # (C, N)
        for c in range(len(a)):
            energy = torch.stack([a[c] @ a[other] for other in range(len(a))])
            weights = torch.softmax(energy.max() - energy, dim=0)
            out[b, c] += (block.gamma * sum(w * row for w, row in zip(weights, a, strict=True))).reshape(x.shape[2:])
    return out


@pytest.mark.parametrize("shape", [(2, C, 3, 4, 5), (1, C, 1, 6, 6), (1, C, 5, 1, 1)], ids=str)
def test_position_attention(shape):
    block, x = PositionAttention(C).double(), clip(*shape)
    block.gamma.data.fill_(0.7)
    torch.testing.assert_close(block(x), position_attention(block, x))
    assert block.query_conv.out_channels == C // 8


def test_position_attention_fills_no_matrix(monkeypatch):
    """The operation that works in blocks is the one that is called, with no scale."""
    calls = []
    monkeypatch.setattr(ops, "softmax_attention", lambda q, k, v: calls.append((q.shape, k.shape, v.shape)) or v)
    PositionAttention(C)(clip(2, C, 3, 4, 5).float())
    assert calls == [((2, 60, 2), (2, 60, 2), (2, 60, C))]


@pytest.mark.parametrize("shape", [(2, C, 3, 4, 5), (1, C, 1, 2, 3)], ids=str)
def test_channel_attention(shape):
    block, x = ChannelAttention(C).double(), 0.3 * clip(*shape)
    block.gamma.data.fill_(0.7)
    torch.testing.assert_close(block(x), channel_attention(block, x))


def test_channel_attention_keeps_its_energies_wide_under_autocast():
    """Energies of a thousand and more: bfloat16 would be wrong by 4 there, in an exponent."""
    block, x = ChannelAttention(C), clip(1, C, 4, 32, 32).float() + 0.5
    block.gamma.data.fill_(1.0)
    expected = block(x)
    with torch.autocast("cpu", torch.bfloat16):
        out = block(x)
    assert (out - expected).norm() / (expected - x).norm() < 0.01


@pytest.mark.parametrize("time_kernel", [1, 3])
def test_dual_attention(time_kernel):
    """Fig. 2: conv, attention, conv in each of two branches; their sum goes back to C channels and onto x."""
    block, x = DualAttention(C, time_kernel=time_kernel).double().eval(), clip(2, C, 4, 5, 6)
    branches = block.branches
    for parameter in (branches.position.gamma, branches.channel.gamma, block.norm.weight):
        parameter.data.normal_()

    def conv(layers, x):
        weight = layers[0].weight
        assert weight.shape[2:] == (time_kernel, 3, 3)
        y = F.conv3d(x, weight, padding=(time_kernel // 2, 1, 1))
        return torch.relu(y / (1 + layers[1].eps) ** 0.5)  # a norm at its start, in eval mode

    position = conv(branches.position_out, position_attention(branches.position, conv(branches.position_in, x)))
    channel = conv(branches.channel_out, channel_attention(branches.channel, conv(branches.channel_in, x)))
    assert position.shape[1] == channel.shape[1] == C // 4
    projected = torch.einsum("dc,bcthw->bdthw", block.conv_out.weight[:, :, 0, 0, 0], position + channel)
    scale = block.norm.weight / (1 + block.norm.eps) ** 0.5
    torch.testing.assert_close(block(x), scale[:, None, None, None] * projected + x)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PositionAttention(C, reduction=0), "PositionAttention: reduction must be at least 1, got 0"),
        (lambda: DualAttention(C, reduction=0), "DualAttention: reduction must be at least 1, got 0"),
        (lambda: DualAttention(C, time_kernel=2), "DualAttention: time_kernel 2: expected 1 or 3"),
    ],
)
def test_impossible_options_say_so(make, words):
    with pytest.raises(ValueError, match=words):
        make()
