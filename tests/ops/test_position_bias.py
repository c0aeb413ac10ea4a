"""A bias of positions, of every form and grid, against the scores with the whole matrix."""

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from nlvideo import ops
from nlvideo.ops import forms, reference
from nlvideo.ops.layout import is_channels_first
from nlvideo.ops.position_bias import bias_matrix

GRIDS = {  # sizes of queries and keys along each axis
    "clip": [(2, 2), (4, 2), (5, 2)],
    "frame": [(4, 4), (6, 3)],
    "time": [(11, 11)],
    "one place": [(7, 7), (1, 1), (1, 1)],
}


def draw(grid, b=2, d=5, e=3, dtype=torch.float64):
    """Query, key and value, channels before positions in memory, and a matrix for each axis."""
    generator = torch.Generator().manual_seed(0)
    n, m = (math.prod(sizes) for sizes in zip(*grid, strict=True))
    shapes = [(b, d, n), (b, d, m), (b, e, m), *grid]
    tensors = [torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype) for shape in shapes]
    return [t.mT if t.ndim == 3 else t for t in tensors]


def attend(inputs, form=ops.softmax_attention):
    query, key, value, *bias = inputs
    return form(query, key, value, 0.3, bias)


def value_and_gradients(inputs, form=ops.softmax_attention):
    inputs = [t.detach().requires_grad_() for t in inputs]
    out = attend(inputs, form)
    direction = torch.linspace(-1, 2, out.numel(), dtype=torch.float64).reshape(out.shape).to(out.dtype)
    return [out, *torch.autograd.grad(out, inputs, direction)]


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_the_matrix_is_the_sum_over_axes(grid):
    _, _, _, *bias = draw(grid)
    queries, keys = (list(itertools.product(*map(range, sizes))) for sizes in zip(*grid, strict=True))
    expected = [[sum(b[i[a], j[a]].item() for a, b in enumerate(bias)) for j in keys] for i in queries]
    assert_close(bias_matrix(bias), torch.tensor(expected, dtype=torch.float64))
    chosen = torch.tensor([5, 0, 5])
    assert_close(bias_matrix(bias, chosen), bias_matrix(bias)[chosen])


def test_the_explicit_form_adds_the_matrix():
    query, key, value, *bias = draw(GRIDS["clip"])
    expected = (0.3 * query @ key.mT + bias_matrix(bias)).softmax(2) @ value
    assert_close(reference.softmax_attention(query, key, value, 0.3, bias), expected)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
@pytest.mark.usefixtures("never_explicit")
def test_values_and_gradients(grid):
    fast, explicit = (value_and_gradients(draw(grid), f) for f in (ops.softmax_attention, reference.softmax_attention))
    for ours, expected in zip(fast, explicit, strict=True):
        assert_close(ours, expected, rtol=0, atol=1e-12)
    assert is_channels_first(fast[0]) == is_channels_first(explicit[0])


@pytest.mark.usefixtures("never_explicit")
def test_gradcheck():
    inputs = [t.requires_grad_() for t in draw([(2, 2), (3, 1), (2, 1)], d=2)]
    assert torch.autograd.gradcheck(lambda *inputs: attend(inputs), inputs, fast_mode=False)


@pytest.mark.usefixtures("never_explicit")
def test_a_bias_of_zero_changes_nothing():
    query, key, value, *bias = draw(GRIDS["clip"])
    without = ops.softmax_attention(query, key, value, 0.3)
    assert_close(attend([query, key, value, *(torch.zeros_like(b) for b in bias)]), without, rtol=0, atol=1e-14)


@pytest.mark.parametrize("autocast", [False, True], ids=["bfloat16", "autocast"])
@pytest.mark.parametrize("form", ["explicit", "kept", "blocked"])
def test_a_bias_is_not_rounded(form, autocast, set_limits):
    """Near 60, bfloat16 counts in steps of a quarter."""
    set_limits(explicit_bytes=2**30 if form == "explicit" else 0, kept_bytes=2**30 if form == "kept" else 0)
    query, key, value, *bias = draw(GRIDS["clip"], dtype=torch.bfloat16)
    exact = [t.double() for t in (query, key, value)]
    bias = [60 + b.double() for b in draw(GRIDS["clip"])[3:]]
    expected = value_and_gradients([*exact, *bias], reference.softmax_attention)
    given = [*(t.float() if autocast else t for t in (query, key, value)), *(b.float() for b in bias)]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = value_and_gradients(given)
    assert out[0].dtype == torch.bfloat16
    for ours, true in zip(out, expected, strict=True):
        assert (ours.double() - true).norm() / true.norm() < 0.01


def test_no_matrix_forward_or_backward(allocations, set_limits):
    set_limits(explicit_bytes=0, kept_bytes=0, block_scores=2**17)
    inputs = draw([(8, 8), (16, 16), (16, 16)], b=1, d=8, e=8, dtype=torch.float32)
    taken = allocations(lambda: value_and_gradients(inputs))
    matrix = 4 * 2048**2
    assert max(taken) < matrix / 20
    assert max(itertools.accumulate(taken)) < matrix / 4


@pytest.mark.usefixtures("never_explicit")
def test_compiles_to_one_graph():
    inputs = draw(GRIDS["clip"], dtype=torch.float32)
    torch.compiler.reset()
    compiled = torch.compile(ops.softmax_attention, backend="aot_eager", fullgraph=True)
    both = (value_and_gradients(inputs, form) for form in (compiled, ops.softmax_attention))
    for ours, theirs in zip(*both, strict=True):
        assert_close(ours, theirs)


def test_chosen_rows():
    query, key, value, *bias = draw(GRIDS["clip"])
    rows = ops.attention_weights("embedded_gaussian", query, key, torch.tensor([4, 0, 4]), 0.3, bias)
    assert_close(rows @ value, reference.softmax_attention(query, key, value, 0.3, bias)[:, [4, 0, 4]])


def test_cuda_takes_a_kernel_without_the_matrix_and_says_so():
    """Channels of the bias come in multiples of 8, or the kernels would not take them."""
    n, bias = 16_384, [16, 32, 32]
    for dtype, num_channels in ((torch.bfloat16, 160), (torch.float32, 80)):
        assert forms.bias_channels(bias, dtype, "cuda") == num_channels
        assert forms.softmax_form(4, n, n, 64 + num_channels, 64, dtype, "cuda").form == "memory-efficient"
    assert forms.bias_channels([4, 7, 7], torch.bfloat16, "cuda") == 40
    assert forms.bias_channels([4, 7, 7], torch.bfloat16, "cpu") == 36
    line = ops.explain(((4, n, 64),) * 3, torch.bfloat16, "cuda", bias).splitlines()[1]
    assert "memory-efficient" in line and line.endswith("position bias: 160 more channels of query and key")
    assert ops.explain(((1, 9, 64),) * 3, bias_columns=[9]).splitlines()[1].endswith("bias: added to the matrix")


@pytest.mark.parametrize("shapes", [[(3, 3)], [(20, 4), (3, 2)], [(40,)], [(40, 8), (1,)]], ids=str)
def test_matrices_that_do_not_fit(shapes):
    query, key, value, *_ = draw(GRIDS["clip"])
    for form in (ops.softmax_attention, reference.softmax_attention):
        with pytest.raises(ValueError, match=r"bias: expected .* N = 40 .* M = 8 .* got \("):
            form(query, key, value, 1.0, [torch.zeros(shape) for shape in shapes])


@pytest.mark.parametrize("pairwise", ["dot_product", "concatenation"])
def test_functions_without_softmax_have_none(pairwise):
    query, key, value, *bias = draw(GRIDS["clip"])
    if pairwise == "concatenation":
        query, key = query[..., 0], key[..., 0]
    with pytest.raises(ValueError, match="no softmax to add a bias of positions"):
        ops.PAIRWISE[pairwise](query, key, value, bias=bias)
