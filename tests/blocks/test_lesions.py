"""Lesions of blocks against the masked matrix, written out in float64 without the operations.

Letters: B clips, N query and M key positions, T frames, D channels.
"""

import pytest
import torch
from torch import nn

from nlvideo import blocks, ops
from nlvideo.blocks import ChannelAttention, NonLocal, PositionAttention, SqueezeExcite
from nlvideo.blocks.lesion import Lesion

C, T, H, W = 6, 6, 4, 4
OPTIONS = [
    {},
    {"subsample": False},
    {"pool_after_projection": True, "norm": "affine"},
    {"domain": "time", "subsample": False},
    {"temporal_groups": 2, "norm": "none"},
]
KINDS = ["own_frame", "other_frames", "window3", "uniform"]


def clip():
    return torch.randn(2, C, T, H, W, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def frames_and_places(height, width):
    """Frame and place of each position, frame after frame."""
    return torch.arange(T).repeat_interleave(height * width), torch.arange(height * width).repeat(T)


def seen(kind, options, num_keys):
    """Return the matrix of a block without a lesion and with it: bool (N, M) twice."""
    (t, place), (u, key_place) = frames_and_places(H, W), frames_and_places(*num_keys)
    compared = torch.ones(len(t), len(u), dtype=torch.bool)
    if options.get("domain") == "time":
        compared &= place[:, None] == key_place
    group = T // options.get("temporal_groups", 1)
    compared &= t[:, None] // group == u // group
    distance = (t[:, None] - u).abs()
    left = {"own_frame": distance == 0, "other_frames": distance > 0, "window3": distance <= 1}
    return compared, compared & left.get(kind, compared)


def masked_weights(pairwise, scores, mask):
    """f(x_i, x_j) / C(x), where the positions outside of the mask are not there."""
    count = mask.sum(dim=1, keepdim=True)
    if pairwise in ("gaussian", "embedded_gaussian"):
        f = scores.exp() * mask
        return (f / f.sum(dim=-1, keepdim=True)).nan_to_num()
    f = (scores if pairwise == "dot_product" else scores.relu()) * mask
    return (f / count).nan_to_num()


def expected(block, x, kind, options):
    pooled = block.grouping.pool(x)
    phi, g = (
        block.grouping.pool(conv(x)) if block.pool_after_projection else conv(pooled)
        for conv in (block.conv_phi, block.conv_g)
    )
    theta = block.conv_theta(x)
    compared, mask = seen(kind, options, phi.shape[3:])
    theta, phi, g = (each.flatten(2) for each in (theta, phi, g))  # (B, D, N), (B, D, M), (B, D, M)
    scores = block.scale * torch.einsum("bdn,bdm->bnm", theta, phi)
    if block.pairwise == "concatenation":
        w_theta, w_phi = block.conv_concat.weight.flatten().chunk(2)
        scores = (w_theta @ theta)[:, :, None] + (w_phi @ phi)[:, None]
    weights = masked_weights(block.pairwise, scores, mask)
    if kind == "uniform":
        weights = weights.sum(dim=-1, keepdim=True) * compared / compared.sum(dim=1, keepdim=True)
    y = torch.einsum("bnm,bdm->bdn", weights, g).unflatten(2, (T, H, W))
    return x + block.norm(block.conv_out(y))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("pairwise", ops.PAIRWISE)
def test_a_restricted_block_is_the_masked_matrix(pairwise, options, kind):
    torch.manual_seed(0)
    block = NonLocal(C, pairwise=pairwise, init_std=0.7, init_scale=1.0, **options).double().eval()
    x = clip()
    with torch.no_grad():
        restricted = block(x, Lesion.parse(kind))
        torch.testing.assert_close(restricted, expected(block, x, kind, options), rtol=1e-9, atol=1e-9)
        assert (restricted - block(x)).abs().max() > 1e-3


@pytest.mark.parametrize("pairwise", ops.PAIRWISE)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_window_of_all_frames_is_the_block(pairwise, options):
    torch.manual_seed(0)
    block = NonLocal(C, pairwise=pairwise, init_std=0.7, init_scale=1.0, **options).double().eval()
    torch.testing.assert_close(block(clip(), Lesion.parse("window11")), block(clip()))


def test_position_attention_is_the_masked_matrix():
    torch.manual_seed(0)
    block = PositionAttention(C, reduction=2).double()
    nn.init.constant_(block.gamma, 0.5)
    x = clip()
    query, key, value = (conv(x).flatten(2) for conv in (block.query_conv, block.key_conv, block.value_conv))
    scores = torch.einsum("bdn,bdm->bnm", query, key)
    for kind in KINDS:
        _, mask = seen(kind, {}, (H, W))
        weights = masked_weights("gaussian", scores, mask)
        if kind == "uniform":
            weights = torch.ones_like(weights) / (T * H * W)
        y = torch.einsum("bnm,bcm->bcn", weights, value).reshape(x.shape)
        torch.testing.assert_close(block(x, Lesion.parse(kind)), x + 0.5 * y, rtol=1e-9, atol=1e-9)


def test_uniform_channels():
    torch.manual_seed(0)
    x = clip()
    gates = SqueezeExcite(C, reduction=2).double()
    mean_gate = torch.stack([gate.mean() for gate in gates.channel_weights(x)])
    torch.testing.assert_close(gates(x, Lesion("uniform")), x * mean_gate[:, None, None, None, None])
    attention = ChannelAttention(C).double()
    nn.init.constant_(attention.gamma, 0.5)
    alike = torch.full((C, C), 1 / C, dtype=torch.float64)
    torch.testing.assert_close(attention(x, Lesion("uniform")), x + 0.5 * torch.einsum("ij,bjthw->bithw", alike, x))


@pytest.mark.parametrize("name", [name for name in blocks.__all__ if name != "Block"])
def test_a_block_that_is_off_gives_its_input(name):
    block = getattr(blocks, name)(C)
    for shape in ((2, C, T, H, W), (2, C, H, W), (2, C, T)):
        x = torch.randn(shape)
        assert block(x, Lesion()) is x


@pytest.mark.parametrize("text", ["window2", "windows", "window0", "", "of", "window-1"])
def test_a_lesion_that_there_is_not(text):
    with pytest.raises(ValueError, match="expected off, own_frame, other_frames, uniform or windowN with an odd"):
        Lesion.parse(text)
