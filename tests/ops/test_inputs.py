"""Bad input is an error that prints what came and what was expected; empty input is not bad."""

import re

import pytest
import torch

SHAPES = {  # B, N, D / B, M, D / B, M, E
    "batch": ((2, 5, 3), (1, 7, 3), (2, 7, 4)),
    "keys": ((2, 5, 3), (2, 7, 3), (2, 6, 4)),
    "no keys": ((2, 5, 3), (2, 0, 3), (2, 0, 4)),
    "rank of query": ((5, 3), (2, 7, 3), (2, 7, 4)),
    "rank of value": ((2, 5, 3), (2, 7, 3), (2, 7, 4, 1)),
}


def bad(operation, form, query, key, value):
    shapes = ", ".join(
        rf"{name}\w* {re.escape(str(tuple(t.shape)))} {t.dtype}"
        for name, t in (("query", query), ("key", key), ("value", value))
    )
    with pytest.raises(ValueError, match=rf"expected query\w* \(B, N.* got {shapes}"):
        form(query, key, value)


@pytest.mark.parametrize("case", SHAPES)
def test_shapes(operation, case):
    query, key, value = (torch.zeros(shape) for shape in SHAPES[case])
    if operation.name == "concatenation":
        query, key = query[..., 0], key[..., 0]
    bad(operation, operation.fast, query, key, value)
    bad(operation, operation.explicit, query, key, value)


@pytest.mark.parametrize("operation", ["softmax", "dot_product"], indirect=True)
def test_channels_of_query_and_key(operation):
    bad(operation, operation.fast, torch.zeros(2, 5, 3), torch.zeros(2, 7, 4), torch.zeros(2, 7, 4))


@pytest.mark.parametrize("dtypes", [(torch.int64,) * 3, (torch.float32, torch.float32, torch.float64)], ids=str)
def test_dtypes(operation, dtypes):
    inputs = operation.inputs(2, 5, 7, 3, 4)
    bad(operation, operation.fast, *(t.detach().to(dtype) for t, dtype in zip(inputs, dtypes, strict=True)))


@pytest.mark.parametrize("shape", [(2, 0, 7, 3, 4), (0, 5, 7, 3, 4), (2, 5, 7, 3, 0)], ids=str)
@pytest.mark.usefixtures("never_explicit")
def test_nothing_in_nothing_out(operation, shape):
    b, n, _, _, e = shape
    inputs = operation.inputs(*shape)
    out = operation.fast(*inputs)
    assert out.shape == (b, n, e)
    for gradient, given in zip(torch.autograd.grad(out.sum(), inputs), inputs, strict=True):
        assert gradient.shape == given.shape
        assert gradient.count_nonzero() == 0
