"""The fast forms give the explicit forms' values and gradients."""

from functools import partial

import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from nlvideo import ops
from nlvideo.ops import softmax
from nlvideo.ops.layout import is_channels_first

SHAPES = [
    (2, 37, 23, 5, 7),  # nothing equal, nothing divides a block
    (3, 16, 48, 8, 8),
    (1, 40, 50, 2, 3),
    (2, 9, 1, 2, 1),  # one key
    (2, 1, 9, 1, 3),  # one query
]


def assert_same(operation, inputs):
    fast = operation.value_and_gradients(operation.fast, inputs)
    explicit = operation.value_and_gradients(operation.explicit, inputs)
    for ours, expected in zip(fast, explicit, strict=True):
        assert_close(ours, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("never_explicit")
def test_values_and_gradients(operation, shape):
    assert_same(operation, operation.inputs(*shape))


@pytest.mark.usefixtures("never_explicit")
def test_layout_of_inputs_does_not_matter(operation):
    inputs = operation.inputs(2, 37, 23, 5, 7)
    dense = [t.detach().contiguous().requires_grad_() for t in inputs]
    for ours, expected in zip(
        operation.value_and_gradients(operation.fast, dense),
        operation.value_and_gradients(operation.fast, inputs),
        strict=True,
    ):
        assert_close(ours, expected, rtol=0, atol=1e-12)


def test_sizes_as_in_a_network(operation):
    """Through the choice of form as shipped: explicit, blocked, sorted or associative."""
    for shape in [(1, 196, 49, 64, 64), (1, 1568, 1500, 16, 16)]:
        assert_same(operation, operation.inputs(*shape))


@pytest.mark.usefixtures("never_explicit")
def test_gradcheck(operation):
    assert torch.autograd.gradcheck(operation.fast, operation.inputs(2, 11, 13, 2, 3), fast_mode=False)


@pytest.mark.parametrize("operation", ["softmax"], indirect=True)
@pytest.mark.usefixtures("never_explicit")
def test_softmax_scale(operation):
    operation.fast, operation.explicit = (partial(f, scale=0.3) for f in (operation.fast, operation.explicit))
    assert_same(operation, operation.inputs(2, 20, 30, 4, 5))


@pytest.mark.usefixtures("never_explicit")
def test_softmax_of_large_scores_is_finite():
    query = torch.full((1, 30, 2), 100.0)
    value = torch.randn(1, 30, 3, generator=torch.Generator().manual_seed(0))
    assert_close(ops.softmax_attention(query, query, value), value.mean(1, keepdim=True).expand(1, 30, 3))


@pytest.mark.parametrize("operation", ["concatenation"], indirect=True)
@pytest.mark.usefixtures("never_explicit")
def test_concatenation_ties_and_duplicates(operation):
    """Scores on a coarse grid: many a_i + b_j are exactly 0, many b are equal; -0.0 is a 0 like any other."""
    _, _, value = operation.inputs(2, 1, 31, 1, 4)
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randint(-3, 4, (2, n), generator=generator).double() / 2 for n in (29, 31))
    a[:, 0], b[:, 0] = -0.0, 0.0
    assert (a[:, :, None] + b[:, None] == 0).sum() > 100
    assert_same(operation, [a.requires_grad_(), b.requires_grad_(), value])
    # None, one and all of the keys count for a query.
    extremes = torch.tensor([[-9.0, -1.5 + 2**-40, 9.0]] * 2, dtype=torch.float64)
    assert_same(operation, [extremes.requires_grad_(), b, value])
    nobody = torch.full((2, 29), -5.0, dtype=torch.float64, requires_grad=True)
    assert all(t.count_nonzero() == 0 for t in operation.value_and_gradients(operation.fast, [nobody, b, value]))


def test_gradients_do_not_change_values(operation):
    for shape in [(1, 20, 30, 4, 4), (1, 1568, 1500, 16, 16)]:
        inputs = operation.inputs(*shape, dtype=torch.float32)
        with torch.no_grad():
            without = operation.fast(*inputs)
        assert torch.equal(operation.fast(*inputs), without)
        assert torch.equal(operation.fast(*inputs), without), "the same twice"


@pytest.mark.usefixtures("never_explicit")
def test_second_derivative(operation):
    """The dot product has one; the others say that they have none."""
    inputs = operation.inputs(1, 11, 13, 2, 3)
    if operation.name == "dot_product":
        assert torch.autograd.gradgradcheck(operation.fast, inputs)
        return
    gradient = torch.autograd.grad(operation.fast(*inputs).sum(), inputs[0], create_graph=True)[0]
    with pytest.raises(RuntimeError, match=r"nlvideo.*backward.* no autograd formula"):
        gradient.sum().backward()


@pytest.mark.parametrize(
    "sizes", [(784, 196, 512, 512), (784, 784, 512, 512), (9, 9, 4, 1000), (50, 60, 8, 8)], ids=str
)
@pytest.mark.parametrize("pairwise", ops.PAIRWISE)
def test_multiply_adds_are_those_that_torch_counts(pairwise, sizes):
    """As stated in the table, which has the dot product in its cheaper order; and N M (D + E) with the matrix."""
    function, (n, m, d, e) = ops.PAIRWISE[pairwise], sizes
    query, key, value = (torch.empty(3, *size, device="meta") for size in [(n, d), (m, d), (m, e)])
    if function.additive:
        query, key = query[..., 0], key[..., 0]
    with FlopCounterMode(display=False) as counter:
        function(query, key, value)
    explicit = n * m * (e if function.additive else d + e)
    assert counter.get_total_flops() in (2 * 3 * function.multiply_adds(n, m, d, e), 2 * 3 * explicit)
    with ops.explicit_forms(), FlopCounterMode(display=False) as counter:
        function(query, key, value)
    assert counter.get_total_flops() == 2 * 3 * explicit


class Operators(TorchDispatchMode):
    """The operators that ran."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def test_explicit_forms_run_the_equations(operation):
    """Within the context and no longer, if it ends by an exception too."""
    inputs = operation.inputs(1, 1568, 1500, 16, 16, dtype=torch.float32)

    def operators(form):
        with Operators() as operators:
            form(*inputs)
        return operators.names

    fast, explicit = operators(operation.fast), operators(operation.explicit)
    assert fast != explicit
    with pytest.raises(KeyError), ops.explicit_forms():
        assert operators(operation.fast) == explicit
        raise KeyError
    assert operators(operation.fast) == fast


def test_fused_kernel_is_exact():
    """The CUDA path, run on the CPU's own fused kernel, which refuses strided rows too."""
    query, key, value = torch.randn(3, 2, 64, 50, generator=torch.Generator().manual_seed(0)).transpose(2, 3)
    assert_close(softmax._fused(query, key, value, 0.2), ops.reference.softmax_attention(query, key, value, 0.2))


@pytest.mark.usefixtures("never_explicit")
@pytest.mark.parametrize("channels_first", [True, False])
def test_results_and_gradients_have_the_layout_of_the_input(operation, channels_first):
    """In the forms for large sizes."""
    inputs = operation.inputs(2, 37, 23, 5, 7)
    if not channels_first:
        inputs = [t.detach().contiguous().requires_grad_() for t in inputs]
    out, *_, grad_value = operation.value_and_gradients(operation.fast, inputs)
    assert is_channels_first(out) == channels_first
    assert operation.name == "dot_product" or is_channels_first(grad_value) == channels_first
