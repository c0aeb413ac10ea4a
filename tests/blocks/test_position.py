"""Positions of NonLocal against the equation, pair by pair, in every function, domain, subsampling and form."""

import dataclasses
import itertools
import json
from functools import partial

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from nlvideo.blocks import NonLocal
from nlvideo.blocks.lesion import Lesion
from nlvideo.blocks.position import RelativeBias
from nlvideo.checkpoint import build
from nlvideo.checkpoint.export import trace
from nlvideo.checkpoint.rebuild import known_classes, rebuild
from nlvideo.cost.count import count_cost
from nlvideo.models import Insert, ResNet3d
from nlvideo.models.inference import inference_copy
from nlvideo.ops import explicit_forms, forms
from nlvideo.training.optim import Optimizer
from tests.blocks.test_non_local import OPTIONS

C, T, H, W = 6, 4, 4, 5
each_kind = pytest.mark.parametrize("position", ["relative", "decay"])
each_softmax = pytest.mark.parametrize("pairwise", ["gaussian", "embedded_gaussian"])
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())


def awake(module, std=1.0):
    generator = torch.Generator().manual_seed(0)
    for name, parameter in module.named_parameters():
        if ".position." in f".{name}" or not parameter.any():
            parameter.data = std * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return module


def clip(*shape, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


def network(**options):
    after = Insert(partial(NonLocal, init_scale=1.0, **options), {"res3": 1})
    return ResNet3d("c2d", [1, 1, 1, 1], 5, width=8, temporal_stride=1, after=after)


def weights_by_hand(block, x, positions):
    """softmax_j(scale * theta_i . phi_j + b(j - i)), with b drawn through its knots by NumPy."""
    query, key, _ = block.project(x)
    (_, _, t, h, w), (hk, wk) = x.shape, block.grouping.pool(x[:, :1]).shape[3:]
    pool_h, pool_w = h // hk, w // wk
    frames = {"space": 1, "time": t}.get(block.grouping.domain, t // block.grouping.temporal_groups)

    def bias(axis, d, n):
        if axis not in block.position.axes:
            return 0.0
        values = block.position.get_parameter(axis).detach().numpy()
        if len(values) == 2:
            return values[0] * d if d < 0 else -values[1] * d
        reach = len(values) // 2
        return np.interp(d * reach / max(n - 1, 1), np.arange(-reach, reach + 1), values)

    out = torch.zeros(len(positions), t, hk, wk, dtype=torch.float64)
    for q, (ti, yi, xi) in enumerate(positions.tolist()):
        for tj, yj, xj in itertools.product(range(t), range(hk), range(wk)):
            if block.grouping.domain == "time":
                if (yi, xi) != (yj, xj):
                    continue
                score = query[yi * w + xi, ti] @ key[yj * w + xj, tj]
            else:
                if ti // frames != tj // frames:
                    continue
                group = ti // frames
                score = query[group, (ti % frames * h + yi) * w + xi] @ key[group, (tj % frames * hk + yj) * wk + xj]
            dy, dx = pool_h * yj + (pool_h - 1) / 2 - yi, pool_w * xj + (pool_w - 1) / 2 - xi
            added = bias("t", tj - ti, frames) + bias("y", dy, h) + bias("x", dx, w)
            out[q, tj, yj, xj] = (block.scale * score + added).exp()
        out[q] /= out[q].sum()
    return out


@each_option
@each_softmax
@each_kind
@torch.no_grad()
def test_weights_are_the_equation(position, pairwise, options):
    block = awake(NonLocal(C, pairwise=pairwise, position=position, **options).double())
    x, positions = clip(1, C, T, H, W), torch.tensor([[0, 0, 0], [3, 2, 4], [1, 3, 1]])
    assert_close(block.attention_weights(x, positions)[0], weights_by_hand(block, x, positions), rtol=0, atol=1e-6)


@pytest.mark.parametrize("form", ["as chosen", "kept", "blocked"])
@each_option
@each_softmax
@each_kind
def test_outputs_and_gradients_are_those_of_the_explicit_form(position, pairwise, options, form, monkeypatch):
    if form != "as chosen":
        size = dataclasses.replace(
            forms.LIMITS["cpu"], explicit_bytes=0, kept_bytes=2**30 if form == "kept" else 0, block_scores=40
        )
        monkeypatch.setitem(forms.LIMITS, "cpu", size)
        monkeypatch.setattr(forms, "BLOCK_ROWS", 1)
    block = awake(NonLocal(C, pairwise=pairwise, position=position, **options).double()).eval()
    x = clip(2, C, T, H, W).requires_grad_()
    inputs = [x, *block.parameters()]

    def run():
        out = block(x)
        return [out, *torch.autograd.grad((out * clip(*out.shape)).sum(), inputs)]

    with explicit_forms():
        expected = run()
    for ours, true in zip(run(), expected, strict=True):
        assert_close(ours, true, rtol=0, atol=1e-9)
    assert all(p.grad is None and g.any() for p, g in zip(inputs[1:], expected[2:], strict=True) if p.ndim == 1 < C)


@each_option
@each_kind
def test_changes_nothing_at_the_start(position, options):
    """To the bit in the explicit form, which small maps take; the state of a network without positions fits."""
    torch.manual_seed(0)
    plain = NonLocal(C, init_scale=1.0, **options).eval()
    block = NonLocal(C, position=position, init_scale=1.0, **options).eval()
    missing = block.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing == [f"position.{axis}" for axis in block.position.axes]
    x = clip(2, C, T, H, W, dtype=torch.float32)
    assert torch.equal(block(x), plain(x))


@each_kind
def test_init_position_is_the_deviation_of_its_numbers(position):
    torch.manual_seed(0)
    blocks = [NonLocal(8, position=position, init_position=2.0) for _ in range(100 if position == "decay" else 10)]
    numbers = torch.cat([parameter.detach() for block in blocks for parameter in block.position.parameters()])
    assert numbers.std().item() == pytest.approx(2.0, rel=0.1)


def test_other_sizes_stretch_the_numbers():
    bias = RelativeBias("t", (4, 1, 1))
    bias.t.data = torch.tensor([-9.0, -4, -1, 0, 1, 2, 4])  # of the differences -3 to 3
    same, longer, pooled = (bias([size])[0] for size in ((4, 4, 1), (7, 7, 1), (4, 2, 2)))
    assert_close(same[1], torch.tensor([-1.0, 0, 1, 2]))
    assert_close(longer[0], torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4]))  # half the steps
    assert_close(longer[6, :3], torch.tensor([-9.0, -6.5, -4]))
    assert_close(pooled[0], torch.tensor([0.5, 3.0]))  # keys in the middle of two pixels: differences 0.5 and 2.5
    assert bias([(1, 1, 1)])[0].item() == 0


@pytest.mark.parametrize("kind", ["own_frame", "other_frames", "window3", "uniform"])
@torch.no_grad()
def test_lesions_keep_the_positions(kind):
    block = awake(NonLocal(C, position="relative", norm="none", init_std=1.0, init_scale=1.0).double())
    x, lesion = clip(1, C, T, H, W), Lesion.parse(kind)
    positions = torch.cartesian_prod(*map(torch.arange, (T, H, W)))
    weights = block.attention_weights(x, positions)[0]  # (N, T, H', W')
    if kind == "uniform":
        weights = torch.ones_like(weights)
    else:
        seen = torch.zeros(T, T, dtype=torch.bool)
        for t, frames in enumerate(lesion.visible(T)):
            seen[t, frames] = True
        weights = weights * seen[positions[:, 0], :, None, None]
    weights = weights.flatten(1) / weights.flatten(1).sum(1, keepdim=True)
    y = (weights @ block.project(x)[2][0]).mT.reshape(1, -1, T, H, W)
    assert_close(block(x, lesion), x + block.conv_out(y))


@each_kind
def test_a_checkpoints_record_an_export_and_an_inference_copy(position):
    torch.manual_seed(0)
    size = {"position_size": (4, 6, 6)} if position == "relative" else {}
    net = awake(network(position=position, **size), std=3.0).eval()
    twin = rebuild(json.loads(json.dumps(net.config())), known_classes())
    twin.load_state_dict(net.state_dict())
    plain = build(network().config()).eval()
    plain.load_state_dict(net.state_dict(), strict=False)
    net.preprocessing = {"clip_frames": 8}
    graph, copy = trace(net).module(), inference_copy(net)
    for shape in ((2, 3, 8, 64, 64), (1, 3, 12, 96, 80)):
        video = clip(*shape, dtype=torch.float32)
        out = net(video)
        assert (out - plain(video)).abs().max() > 1e-5  # the bias matters
        for same in (twin.eval(), graph, copy):
            assert_close(same(video), out, rtol=1e-4, atol=1e-6)


@each_kind
def test_half_precision_autocast_and_channels_last(position):
    torch.manual_seed(0)
    block = awake(NonLocal(64, position=position)).eval()
    x = clip(2, 64, 4, 12, 12, dtype=torch.float32)
    expected = block(x)
    last = x.contiguous(memory_format=torch.channels_last_3d)
    assert_close(block(last), expected, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        outs = [block(x), block(last)]
    outs.append(block.bfloat16()(last.bfloat16()))
    for out in outs:
        assert (out.float() - expected).norm() / expected.norm() < 0.02


@each_kind
def test_no_weight_decay(position):
    groups = {group["name"]: group for group in Optimizer().parameter_groups(network(position=position))}
    block = next(m for m in network(position=position).modules() if isinstance(m, NonLocal))
    plain = {group["name"]: group for group in Optimizer().parameter_groups(network())}
    assert len(groups["biases"]["params"]) == len(plain["biases"]["params"]) + len(list(block.position.parameters()))
    assert groups["biases"]["weight_decay"] == 0


@pytest.mark.parametrize(("position", "added"), [("relative", 15 + 27 + 27), ("decay", 6)])
def test_cost(position, added, monkeypatch):
    """The papers' count has no products for it; what is computed has a channel for each row, column and frame of keys,
    outside of the explicit form."""
    monkeypatch.setitem(forms.LIMITS, "cpu", dataclasses.replace(forms.LIMITS["cpu"], explicit_bytes=0))
    with torch.device("meta"):
        filled, plain = (count_cost(network(**options), (8, 128, 128)) for options in ({"position": position}, {}))
    assert filled.params - plain.params == added
    assert filled.macs == plain.macs
    n, m = 4 * 16 * 16, 4 * 8 * 8
    assert filled.computed_macs - plain.computed_macs == n * m * (4 + 8 + 8)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"position": "sine"}, "position 'sine': expected none, relative or decay"),
        ({"position": "relative", "pairwise": "dot_product"}, "which dot_product has not; set pairwise to gaussian"),
        ({"position": "decay", "pairwise": "concatenation"}, "which concatenation has not"),
        ({"position_size": (4, 4, 4)}, "with position 'none'; expected .* 'relative' only"),
        ({"position": "relative", "position_size": (4, 0, 4)}, "at least 1"),
        ({"init_position": 1.0}, "position is 'none'; leave one of them out"),
    ],
)
def test_options_that_make_no_sense_say_so(options, words):
    with pytest.raises(ValueError, match=words):
        NonLocal(8, **options)
