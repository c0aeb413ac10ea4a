"""FrozenAffine: the equation, in any dtype and layout, in one pass that keeps nothing for backward."""

import pytest
import torch
from torch.testing import assert_close

from nlvideo.blocks.frozen_affine import FrozenAffine


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d], ids=["default", "channels last"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_value_gradient_and_memory(dtype, layout):
    generator = torch.Generator().manual_seed(0)
    affine = FrozenAffine(4)
    affine.weight.normal_(generator=generator)
    affine.bias.normal_(generator=generator)
    if dtype == torch.float64:
        affine.double()
    x = torch.randn(2, 4, 3, 5, 6, generator=generator).to(dtype, memory_format=layout).requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        out = affine(x)
    weight, bias = (t.double()[:, None, None, None] for t in (affine.weight, affine.bias))
    assert out.dtype == dtype
    assert out.is_contiguous(memory_format=layout)
    assert_close(out, (x.double() * weight + bias).to(dtype))
    (grad,) = torch.autograd.grad(out, x, torch.ones_like(out))
    assert_close(grad, weight.expand(x.shape).to(dtype))
    assert max(kept) == 4
    with torch.no_grad():
        assert torch.equal(affine(x), out)
