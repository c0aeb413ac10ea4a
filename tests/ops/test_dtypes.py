"""Precision: low-precision inputs, autocast, and sums over tens of thousands of positions."""

import pytest
import torch
from torch.testing import assert_close

from nlvideo import ops
from nlvideo.ops import concatenation


@pytest.mark.usefixtures("never_explicit")
def test_bfloat16_is_as_good_as_the_explicit_form(operation):
    exact = operation.inputs(2, 60, 70, 8, 8, dtype=torch.bfloat16)
    exact = [t.detach().double().requires_grad_() for t in exact]  # what bfloat16 can hold, computed in float64
    rounded = [t.detach().bfloat16().requires_grad_() for t in exact]
    truth = operation.value_and_gradients(operation.explicit, exact)
    fast = operation.value_and_gradients(operation.fast, rounded)
    explicit = operation.value_and_gradients(operation.explicit, rounded)
    for ours, theirs, true in zip(fast, explicit, truth, strict=True):
        assert ours.dtype == torch.bfloat16
        error, allowed = ((x.double() - true).norm() / true.norm() for x in (ours, theirs))
        assert error <= max(1.5 * allowed, 2**-8)


@pytest.mark.parametrize("sizes", [(1, 30, 20, 8, 8), (1, 1568, 1500, 16, 16)], ids=["small", "large"])
def test_autocast_is_the_low_precision_operation(operation, sizes):
    inputs = operation.inputs(*sizes, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = operation.fast(*inputs)
    gradients = torch.autograd.grad(out.float().sum(), inputs)
    assert out.dtype == torch.bfloat16
    assert {g.dtype for g in gradients} == {torch.float32}
    assert_close(out, operation.fast(*(t.bfloat16() for t in inputs)), rtol=2**-7, atol=1e-3)


def test_autocast_accepts_mixed_inputs_and_leaves_float64(operation):
    query, key, value = operation.inputs(1, 30, 20, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert operation.fast(query.float(), key.bfloat16(), value.float()).dtype == torch.bfloat16
        assert operation.fast(query, key, value).dtype == torch.float64


@pytest.mark.parametrize("autocast", [False, True], ids=["bfloat16", "autocast"])
@pytest.mark.parametrize("form", ["explicit", "kept", "blocked", "weights"])
def test_scores_of_a_softmax_are_not_rounded(form, autocast, set_limits):
    """Gaussian at 1,024 channels, scores of 30 and more: rounded to bfloat16 they would make an error of 6 %."""
    set_limits(
        explicit_bytes=2**30 if form == "explicit" else 0, kept_bytes=2**30 if form == "kept" else 0, block_scores=9000
    )
    generator = torch.Generator().manual_seed(0)
    x, value = (torch.randn(1, 196, 1024, generator=generator).mul(0.17).bfloat16() for _ in range(2))

    def attend(x, value):
        if form == "weights":
            return ops.attention_weights("gaussian", x, x, torch.arange(196)).to(value.dtype) @ value
        return ops.softmax_attention(x, x, value)

    expected = attend(x.double(), value.double())
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = attend(x, value)
    assert out.dtype == torch.bfloat16
    assert (out.double() - expected).norm() / expected.norm() < 0.003


def test_concatenation_over_50_000_keys():
    """Large, nearly opposite scores, where running sums in float32 would lose every digit."""
    generator = torch.Generator().manual_seed(0)
    a = 1000 + torch.randn(1, 600, generator=generator)
    b = -1000 + torch.randn(1, 50_000, generator=generator)
    value = torch.rand(1, 50_000, 2, generator=generator)
    out = concatenation._sorted(a, b, value)
    for rows in torch.arange(600).split(100):
        exact = ops.reference.concatenation_attention(a[:, rows].double(), b.double(), value.double())
        assert_close(out[:, rows].double(), exact, rtol=1e-6, atol=1e-9)
    inputs = [t.requires_grad_() for t in (a, b, value)]
    exact = [t.detach().double().requires_grad_() for t in inputs]
    for ours, expected in zip(
        torch.autograd.grad(concatenation._sorted(*inputs).sum(), inputs),
        torch.autograd.grad(concatenation._sorted(*exact).sum(), exact),
        strict=True,
    ):
        assert_close(ours.double(), expected, rtol=1e-6, atol=1e-9)


def test_dot_product_does_not_overflow_float16():
    x = torch.full((1, 25_088, 2), 2.0, dtype=torch.float16)
    assert_close(ops.dot_product_attention(x, x, x), torch.full_like(x, 16.0))
