"""The explicit forms against loops over the equations, and chosen rows of the matrix against all of it."""

import math

import pytest
import torch
from torch.testing import assert_close

from nlvideo import ops


def weight(name, query, key, i):
    """f(x_i, x_j) / C(x) for all j, one clip, numbers only: Eq. 2 to 5 of Wang et al. 2018."""
    if name == "concatenation":
        return [max(query[i].item() + b.item(), 0.0) / len(key) for b in key]
    dots = [sum(q.item() * k.item() for q, k in zip(query[i], row, strict=True)) for row in key]
    if name == "dot_product":
        return [dot / len(key) for dot in dots]
    total = sum(math.exp(0.5 * dot) for dot in dots)
    return [math.exp(0.5 * dot) / total for dot in dots]


def test_explicit_form_is_the_equation(operation):
    query, key, value = operation.inputs(2, 4, 3, 5, 6)
    scale = {"scale": 0.5} if operation.name == "softmax" else {}
    y = operation.explicit(query, key, value, **scale)  # (B, N, E)
    for clip in range(2):
        for i in range(4):
            weights = weight(operation.name, query[clip], key[clip], i)
            expected = sum(w * g for w, g in zip(weights, value[clip], strict=True))  # (E)
            assert_close(y[clip, i], expected, rtol=0, atol=1e-12)


def test_attention_weights_are_rows_of_the_matrix(operation):
    name = "embedded_gaussian" if operation.name == "softmax" else operation.name
    query, key, _ = operation.inputs(2, 6, 7, 5, 1)
    identity = torch.eye(7, dtype=torch.float64).expand(2, 7, 7)  # as values, they return the weights
    matrix = operation.explicit(query, key, identity)  # (B, N, M)
    rows = ops.attention_weights(name, query, key, torch.tensor([4, 0, 4]))  # (B, Q, M)
    assert_close(rows, matrix[:, [4, 0, 4]])


def test_attention_weights_names_the_pairwise_functions():
    x = torch.zeros(1, 2, 3)
    with pytest.raises(ValueError, match=r"pairwise 'dot': expected gaussian, .* or concatenation"):
        ops.attention_weights("dot", x, x, torch.tensor([0]))
    with pytest.raises(ValueError, match=r"scale 0\.5: .* no softmax"):
        ops.attention_weights("dot_product", x, x, torch.tensor([0]), 0.5)
