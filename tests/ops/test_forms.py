"""The rule that chooses a form, and its words."""

import itertools

import pytest
import torch

from nlvideo import ops
from nlvideo.ops.forms import LIMITS, MIB, concatenation_form, dot_product_form, limits, softmax_form

F32, BF16 = torch.float32, torch.bfloat16


@pytest.mark.parametrize(
    ("sizes", "dtype", "device", "form"),
    [
        ((2, 100, 100, 64, 64), F32, "cpu", "explicit"),
        ((2, 3136, 784, 256, 256), F32, "cpu", "kept"),
        ((2, 25_088, 6272, 128, 128), F32, "cpu", "blocked"),
        ((2, 3136, 784, 256, 256), BF16, "cuda", "fused"),
        ((2, 784, 196, 512, 512), BF16, "cuda", "explicit"),
        ((8, 12_544, 12_544, 512, 512), BF16, "cuda", "memory-efficient"),
        ((8, 12_544, 12_544, 64, 128), BF16, "cuda", "memory-efficient"),
        ((8, 12_544, 12_544, 256, 256), F32, "cuda", "memory-efficient"),
        ((8, 12_544, 12_544, 60, 60), BF16, "cuda", "blocked"),
        ((8, 12_544, 12_544, 256, 256), torch.float64, "cuda", "blocked"),
        ((2, 25_088, 6272, 128, 128), F32, "mps", "blocked"),
        ((2, 25_088, 6272, 128, 128), F32, "xpu", "blocked"),
        ((2, 3136, 784, 256, 256), F32, "meta", "kept"),
    ],
)
def test_softmax(sizes, dtype, device, form):
    assert softmax_form(*sizes, dtype, device).form == form


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
@pytest.mark.parametrize("dtype", [F32, BF16, torch.float64], ids=str)
def test_no_form_fills_a_matrix_beyond_the_budget(dtype, device):
    size = limits(device)
    budget = max(size.explicit_bytes, size.kept_bytes)
    for n in (1024, 4096, 16_384, 65_536):
        for d, e in ((64, 64), (60, 60), (512, 512), (64, 128)):
            form = softmax_form(4, n, n, d, e, dtype, device).form
            assert form not in ("explicit", "kept") or 4 * 4 * n * n <= budget
        # The sorted form has no matrix; that of the explicit one is linear in the number of positions.
        assert concatenation_form(n, n, dtype, device).form == "sorted" or n <= 2 * size.sorted_from_half


def test_dot_product_takes_the_cheaper_order():
    assert dot_product_form(784, 196, 512, 512).form == "explicit"
    assert dot_product_form(784, 784, 512, 512).form == "associative"
    assert dot_product_form(9, 9, 4, 1000).form == "associative"


def test_explicit_forms_are_the_choice_for_any_size():
    with ops.explicit_forms():
        assert "explicit_forms() is active" in ops.explain(((1, 99_999, 8), (1, 99_999, 8), (1, 99_999, 8)))


def test_explain():
    lines = ops.explain(((2, 3136, 256), (2, 784, 256), (2, 784, 256)), BF16, "cuda").splitlines()
    assert lines[0] == "B = 2, N = 3,136, M = 784, D = 256, E = 256, torch.bfloat16, cuda (not measured)"
    assert lines[1].split()[:2] == ["softmax", "fused"]
    assert "half precision and D = E = 256" in lines[1]
    assert lines[2].split()[:3] == ["dot", "product", "associative"]
    assert "multiply-adds against" in lines[2]
    assert "(not considered, as on a CPU)" in ops.explain(((1, 9, 4),) * 3, F32, "mps")
    assert f"at most {LIMITS['cpu'].explicit_bytes / MIB:.1f} MiB" in ops.explain(((1, 9, 4),) * 3)


@pytest.mark.parametrize(
    ("pairwise", "sizes", "order"),  # N, M, C, D
    [
        ("embedded_gaussian", (784, 196, 1024, 512), (True, True)),
        ("embedded_gaussian", (784, 784, 1024, 512), (False, False)),
        ("embedded_gaussian", (3136, 784, 512, 256), (False, False)),
        ("dot_product", (784, 196, 1024, 512), (True, True)),
        ("dot_product", (3136, 784, 512, 256), (False, True)),
        ("gaussian", (784, 196, 1024, 512), (False, True)),
        ("concatenation", (3136, 784, 512, 256), (False, True)),
    ],
)
def test_a_block_takes_the_cheapest_order_of_its_products(pairwise, sizes, order):
    assert ops.PAIRWISE[pairwise].cheapest_order(*sizes) == order
    with ops.explicit_forms():
        assert ops.PAIRWISE[pairwise].cheapest_order(*sizes) == (False, False)


@pytest.mark.parametrize("pairwise", ops.PAIRWISE)
def test_theta_moves_only_through_a_matrix_of_about_the_size_of_x(pairwise):
    for c, d in ((512, 256), (512, 512), (512, 64)):
        for n, m in itertools.product((16, 256, 4096, 65_536), repeat=2):
            theta_on_keys, _ = ops.PAIRWISE[pairwise].cheapest_order(n, m, c, d)
            assert not theta_on_keys or m <= 2 * c
