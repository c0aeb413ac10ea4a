"""The three operations as one parametrised fixture, so that every test here is a test of all of them.

Shapes: B clips, N query positions, M key positions, D and E channels.
"""

import dataclasses
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nlvideo import ops
from nlvideo.ops import forms, reference


@dataclass
class Operation:
    name: str
    fast: Callable[..., Tensor]
    explicit: Callable[..., Tensor]

    def inputs(self, b, n, m, d, e, *, dtype=torch.float64, seed=0) -> list[Tensor]:
        """As a block passes them: channels before positions in memory, so transposed views."""
        generator = torch.Generator().manual_seed(seed)

        def draw(positions, channels):
            return torch.randn(b, channels, positions, dtype=torch.float64, generator=generator).to(dtype)

        query, key, value = draw(n, d), draw(m, d), draw(m, e).transpose(1, 2)  # (B, D, N), (B, D, M), (B, M, E)
        if self.name == "concatenation":
            query, key = query[:, 0], key[:, 0]  # (B, N), (B, M)
        else:
            query, key = query.transpose(1, 2), key.transpose(1, 2)  # (B, N, D), (B, M, D)
        return [t.requires_grad_() for t in (query, key, value)]

    def value_and_gradients(self, form: Callable[..., Tensor], inputs: list[Tensor]) -> list[Tensor]:
        out = form(*inputs)
        # Any fixed direction will do, the same for both forms.
        direction = torch.linspace(-1, 2, out.numel(), dtype=torch.float64).reshape(out.shape).to(out.dtype)
        return [out, *torch.autograd.grad(out, inputs, direction)]


@pytest.fixture(autouse=True)
def one_thread():
    """Tensors this small are not worth sharing out, and threads wait long for each other on a busy machine."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(params=["softmax", "dot_product", "concatenation"])
def operation(request) -> Operation:
    function = f"{request.param}_attention"
    return Operation(request.param, getattr(ops, function), getattr(reference, function))


@pytest.fixture
def set_limits(monkeypatch) -> Callable[..., None]:
    """set_limits(explicit_bytes=0): other sizes at which a CPU changes its form."""

    def set_limits(block_rows: int = 1, **limits: int) -> None:
        monkeypatch.setattr(forms, "BLOCK_ROWS", block_rows)
        monkeypatch.setitem(forms.LIMITS, "cpu", dataclasses.replace(forms.LIMITS["cpu"], **limits))

    return set_limits


@pytest.fixture(params=["kept", "blocked"])
def never_explicit(request, set_limits):
    """Sends sizes small enough to test through the forms meant for large ones, several blocks and slices of them.

    Dot product chooses by arithmetic alone: give it N and M well above D and E.
    """
    kept_bytes = 2**30 if request.param == "kept" else 0
    set_limits(
        explicit_bytes=0, kept_bytes=kept_bytes, block_scores=40, sorted_from=0, sorted_from_half=0, slice_numbers=90
    )


@pytest.fixture(scope="session")
def allocations() -> Callable[[Callable[[], object]], list[int]]:
    """The benchmark's own count of bytes, so that what it reports is what is asserted here."""
    path = Path(__file__).parents[2] / "tools" / "bench" / "measure.py"
    spec = importlib.util.spec_from_file_location("measure", path)
    measure = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(measure)
    return measure.allocations
