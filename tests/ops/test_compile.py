"""torch.compile, meta and fake tensors: one graph, right shapes, the eager numbers."""

import pytest
import torch
from torch.testing import assert_close

from nlvideo.ops import concatenation, softmax

SIZES = {"small": (2, 30, 20, 8, 6), "large": (2, 1100, 1200, 4, 6)}


@pytest.mark.parametrize("size", SIZES)
def test_compiles_to_one_graph(operation, size):
    inputs = operation.inputs(*SIZES[size], dtype=torch.float32)
    torch.compiler.reset()
    compiled = torch.compile(operation.fast, backend="aot_eager", fullgraph=True)
    for ours, expected in zip(
        operation.value_and_gradients(compiled, inputs),
        operation.value_and_gradients(operation.fast, inputs),
        strict=True,
    ):
        assert_close(ours, expected)


def test_compiles_under_autocast(operation):
    inputs = operation.inputs(*SIZES["large"], dtype=torch.float32)
    torch.compiler.reset()
    compiled = torch.compile(operation.fast, backend="aot_eager", fullgraph=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(compiled(*inputs), operation.fast(*inputs))


@pytest.mark.parametrize("size", SIZES)
def test_meta_tensors_give_shapes(operation, size):
    inputs = operation.inputs(*SIZES[size])
    real = operation.fast(*inputs)
    meta = operation.fast(*(t.detach().to("meta").requires_grad_() for t in inputs))
    assert (meta.shape, meta.stride(), meta.dtype) == (real.shape, real.stride(), real.dtype)


@pytest.mark.usefixtures("never_explicit")
def test_operators_keep_their_promises(operation):
    """Schema, autograd registration and fake tensors, by PyTorch's own checker."""
    inputs = operation.inputs(2, 11, 13, 2, 3)
    if operation.name == "softmax":
        for keep in (True, False):
            torch.library.opcheck(softmax._blocked, (*inputs, 0.5, keep))
    elif operation.name == "concatenation":
        torch.library.opcheck(concatenation._sorted, tuple(inputs))
