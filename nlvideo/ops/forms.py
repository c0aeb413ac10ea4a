"""Which form of attention is computed: the one place that knows it, its sizes for each class of devices, and why.

Shapes: B clips, N query positions, M key positions, D and E channels.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

# explicit: plain products with the matrix. kept: its blocks, stored for backward. blocked: computed again in backward.
# fused, memory-efficient: kernels of scaled_dot_product_attention. associative: Q (K^T V). sorted: see concatenation.
Form = Literal["explicit", "kept", "blocked", "fused", "memory-efficient", "associative", "sorted"]


class Choice(NamedTuple):
    """A form, and the reason in words."""

    form: Form
    reason: str


@dataclass(frozen=True)
class Limits:
    """Sizes at which a class of devices changes its form.

    Attributes:
        explicit_bytes: largest float32 matrix (B N M) filled by plain products.
        kept_bytes: largest one that is stored for backward block by block.
        block_scores: scores of one block.
        sorted_from: N M / (N + M) from which the sorted form of concatenation is used, for float32 and wider.
        sorted_from_half: the same for half precision, whose explicit product is faster.
        slice_numbers: numbers of one slice of channels in the sorted form.
    """

    explicit_bytes: int
    kept_bytes: int
    block_scores: int
    sorted_from: int
    sorted_from_half: int
    slice_numbers: int


MIB = 2**20

LIMITS = {
    # Measured by tools/bench/nonlocal.py. Blocks of 8 MB of scores and slices of 2 MB of float64 stay in cache.
    "cpu": Limits(1 * MIB, 128 * MIB, 2**21, 256, 256, 2**18),
    # Not measured. Enough work for each kernel, and a matrix that an 80 GB device hardly notices.
    "cuda": Limits(256 * MIB, 0, 2**26, 256, 1024, 2**21),
}
BLOCK_ROWS = 128  # fewer slow matrix products down more than a larger block does

_explicit = False


@contextmanager
def explicit_forms() -> Iterator[None]:
    """Compute every operation in its explicit form within this context: plain products with the N x M matrix.

    For counting multiply-adds as papers do, and for exporting to runtimes that do not know nlvideo's operators.
    """
    global _explicit
    before, _explicit = _explicit, True
    try:
        yield
    finally:
        _explicit = before


def explicit_forms_required() -> bool:
    """Return whether `explicit_forms` is active."""
    return _explicit


def limits(device: torch.device | str) -> Limits:
    """Return the sizes for a device; those of a CPU if its class was not considered (mps, xpu, meta)."""
    return LIMITS.get(torch.device(device).type, LIMITS["cpu"])


def softmax_form(b: int, n: int, m: int, d: int, e: int, dtype: torch.dtype, device: torch.device | str) -> Choice:
    """Return the form of `softmax_attention`. It depends on shapes, dtype and device only, never on gradients."""
    size, matrix = limits(device), 4 * b * n * m
    if _explicit:
        return Choice("explicit", "explicit_forms() is active")
    cuda = torch.device(device).type == "cuda"
    half = dtype in (torch.float16, torch.bfloat16)
    if cuda and half and d == e <= 256 and d % 8 == 0 and matrix > MIB:
        return Choice("fused", f"CUDA, half precision and D = E = {d} <= 256 in multiples of 8")
    if matrix <= size.explicit_bytes:
        return Choice("explicit", f"a matrix of {_mib(matrix)}, at most {_mib(size.explicit_bytes)}")
    if cuda and (half or dtype == torch.float32) and d % 8 == e % 8 == 0:
        return Choice("memory-efficient", f"CUDA, a matrix of {_mib(matrix)}, and D > 256, D != E or float32")
    if matrix <= size.kept_bytes:
        return Choice("kept", f"a matrix of {_mib(matrix)}, at most {_mib(size.kept_bytes)}")
    return Choice("blocked", f"a matrix of {_mib(matrix)}, more than {_mib(max(size.kept_bytes, size.explicit_bytes))}")


def bias_channels(columns: Sequence[int], dtype: torch.dtype, device: torch.device | str) -> int:
    """Return how many channels of query and key stand for a position bias, outside of the explicit form.

    Args:
        columns: of the bias's matrices, one for each axis: the sizes of the grid of keys.
        dtype: of query and key; half precision takes two channels for each.
        device: where they are; the kernels of CUDA take multiples of 8.
    """
    num_channels = sum(columns) * (2 if dtype in (torch.float16, torch.bfloat16) else 1)
    return math.ceil(num_channels / 8) * 8 if torch.device(device).type == "cuda" else num_channels


def dot_product_form(n: int, m: int, d: int, e: int) -> Choice:
    """Return the form of `dot_product_attention`, by arithmetic alone."""
    explicit, associative = n * m * (d + e), (n + m) * d * e
    if _explicit:
        return Choice("explicit", "explicit_forms() is active")
    reason = f"N M (D + E) = {explicit:,} multiply-adds against (N + M) D E = {associative:,}"
    return Choice("explicit" if explicit <= associative else "associative", reason)


def concatenation_form(n: int, m: int, dtype: torch.dtype, device: torch.device | str) -> Choice:
    """Return the form of `concatenation_attention`."""
    half = dtype in (torch.float16, torch.bfloat16)
    bound = limits(device).sorted_from_half if half else limits(device).sorted_from
    if _explicit:
        return Choice("explicit", "explicit_forms() is active")
    explicit = n * m <= bound * (n + m)
    return Choice(
        "explicit" if explicit else "sorted", f"N M / (N + M) = {n * m // max(n + m, 1)}, explicit up to {bound}"
    )


def block_rows(m: int, device: torch.device) -> int:
    """Return how many query positions make a block of scores."""
    return max(BLOCK_ROWS, limits(device).block_scores // max(m, 1))


def explain(
    shapes: tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]],
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    bias_columns: Sequence[int] = (),
) -> str:
    """Return which form each operation takes and why, a line for each.

    Args:
        shapes: of query (B, N, D), key (B, M, D) and value (B, M, E).
        dtype: of the inputs; under autocast that of autocast.
        device: where they are.
        bias_columns: of the softmax's position bias; see `bias_channels`.
    """
    (b, n, d), (_, m, e) = shapes[0], shapes[2]
    device = torch.device(device)
    num_bias = bias_channels(bias_columns, dtype, device)
    softmax = softmax_form(b, n, m, d + num_bias, e, dtype, device)
    if num_bias:
        how = "added to the matrix" if softmax.form == "explicit" else f"{num_bias} more channels of query and key"
        softmax = Choice(softmax.form, f"{softmax.reason}; position bias: {how}")
    choices = {
        "softmax": softmax,
        "dot product": dot_product_form(n, m, d, e),
        "concatenation": concatenation_form(n, m, dtype, device),
    }
    measured = {"cpu": "measured", "cuda": "not measured"}.get(device.type, "not considered, as on a CPU")
    lines = [f"B = {b}, N = {n:,}, M = {m:,}, D = {d}, E = {e}, {dtype}, {device.type} ({measured})"]
    lines += [f"{name:14} {choice.form:17} {choice.reason}" for name, choice in choices.items()]
    return "\n".join(lines)


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / MIB:,.1f} MiB"
