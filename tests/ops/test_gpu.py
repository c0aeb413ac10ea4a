"""Every operation, dtype and form, and every block, on a CUDA device against float64 on the CPU."""

import dataclasses

import pytest
import torch
from torch.testing import assert_close

from nlvideo import blocks, ops
from nlvideo.ops import forms
from tests.blocks.test_contract import BLOCKS, awake

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-3, torch.float16: 2e-3, torch.bfloat16: 1e-2}  # TF32 may be on
FORMS = {  # limits that send a softmax of these sizes there, and its channels
    "fused": ({"explicit_bytes": 0}, 64),
    "memory-efficient": ({"explicit_bytes": 0}, 320),
    "explicit": ({"explicit_bytes": 2**40}, 64),
    "kept": ({"explicit_bytes": 0, "kept_bytes": 2**40}, 60),
    "blocked": ({"explicit_bytes": 0, "kept_bytes": 0, "block_scores": 4096}, 60),
}


def error(ours, expected):
    return ((ours.double().cpu() - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_operations(operation, dtype, form, monkeypatch):
    limits, channels = FORMS[form]
    if operation.name != "softmax":
        bound = 0 if form == "blocked" else 2**20
        limits = {"sorted_from": bound, "sorted_from_half": bound}
    monkeypatch.setitem(forms.LIMITS, "cuda", dataclasses.replace(forms.LIMITS["cuda"], **limits))
    sizes = (2, 1024, 784, channels, channels)
    if operation.name == "softmax" and forms.softmax_form(*sizes, dtype, "cuda").form != form:
        pytest.skip(f"{dtype} with {channels} channels is never {form}")
    on_cpu = [t.detach().to(dtype).double().requires_grad_() for t in operation.inputs(*sizes)]
    on_gpu = [t.detach().to("cuda", dtype).requires_grad_() for t in on_cpu]
    scale = {"scale": channels**-0.5} if operation.name == "softmax" else {}
    expected = operation.value_and_gradients(lambda *qkv: operation.explicit(*qkv, **scale), on_cpu)
    out = operation.fast(*on_gpu, **scale)
    direction = torch.linspace(-1, 2, out.numel(), dtype=torch.float64).reshape(out.shape).to(on_gpu[0])
    for ours, true in zip((out, *torch.autograd.grad(out, on_gpu, direction)), expected, strict=True):
        assert ours.dtype == dtype
        assert error(ours, true) < TOLERANCE[dtype]


@pytest.mark.parametrize("form", ["memory-efficient", "explicit", "blocked"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_bias_of_positions(dtype, form, monkeypatch):
    """Of 4 x 16 x 16 queries and 4 x 8 x 8 keys, with its gradient."""
    limits, channels = FORMS[form]
    monkeypatch.setitem(forms.LIMITS, "cuda", dataclasses.replace(forms.LIMITS["cuda"], **limits))
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 1024, channels), (2, 256, channels), (2, 256, channels)]
    qkv = [torch.randn(shape, generator=generator).to(dtype).double() for shape in shapes]
    bias = [torch.randn(shape, generator=generator).double() for shape in ((4, 4), (16, 8), (16, 8))]

    def run(attend, tensors):
        tensors = [t.requires_grad_() for t in tensors]
        out = attend(*tensors[:3], 0.1, tensors[3:])
        return [out, *torch.autograd.grad(out.square().sum(), tensors)]

    expected = run(ops.reference.softmax_attention, [*qkv, *bias])
    on_gpu = [*(t.detach().to("cuda", dtype) for t in qkv), *(t.detach().to("cuda", torch.float32) for t in bias)]
    for ours, true in zip(run(ops.softmax_attention, on_gpu), expected, strict=True):
        assert error(ours, true) < 3 * TOLERANCE[dtype]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d], ids=["default", "channels last"])
@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "autocast"])
@pytest.mark.parametrize("name", [*(block.__name__ for block in BLOCKS), *ops.PAIRWISE])
def test_blocks(name, autocast, layout):
    torch.manual_seed(0)
    block = blocks.NonLocal(64, pairwise=name) if name in ops.PAIRWISE else getattr(blocks, name)(64)
    x = torch.randn(2, 64, 4, 14, 14)
    expected = awake(block).eval().double()(x.double())
    block.float().to("cuda", memory_format=layout)
    with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
        out = block(x.to("cuda", memory_format=layout))
    assert out.dtype == torch.float32
    assert out.is_contiguous(memory_format=layout)
    assert error(out, expected) < (0.02 if autocast else 2e-3)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_compiled_blocks(block):
    torch.manual_seed(0)
    module, x = awake(block(64)).cuda().eval(), torch.randn(2, 64, 4, 14, 14, device="cuda")
    torch.compiler.reset()
    assert_close(torch.compile(module, fullgraph=True)(x), module(x), rtol=1e-3, atol=1e-3)
