"""Softmax attention in memory linear in the number of positions.

Shapes: B clips, N query positions, M key positions, R query positions of one block, D and E channels.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import register_flop_formula

from nlvideo.ops import reference
from nlvideo.ops.forms import bias_channels, block_rows, softmax_form
from nlvideo.ops.inputs import checked_qkv, without_autocast
from nlvideo.ops.layout import empty_like
from nlvideo.ops.position_bias import append_bias, check_bias
from nlvideo.ops.precision import widened

# In order of preference; cuDNN refuses what its version cannot do. Without the math backend in the list, a refusal of
# all is an error instead of an N x M matrix.
FUSED = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]


def softmax_attention(
    query: Tensor, key: Tensor, value: Tensor, scale: float = 1.0, bias: Sequence[Tensor] = ()
) -> Tensor:
    """Return y_i = sum_j softmax_j(scale * q_i . k_j + bias_ij) v_j: (B, N, D), (B, M, D), (B, M, E) -> (B, N, E).

    Eq. 2 (gaussian: q = k = x) and Eq. 3 (embedded gaussian: q = theta(x), k = phi(x)) of Wang et al.
    2018, with C(x) = sum_j f. The bias is that of positions, given as one matrix for each axis of the grid: see
    `nlvideo.ops.position_bias`. Theirs has none.

    The exponential stands between the two products, so all N M scores must be computed. They need not be
    in memory together: a block of R queries sees all of its M keys, so its softmax is complete, its rows
    of y are final, and its scores can be forgotten. Backward computes them again, block by block:

        explicit    N M (D + E) multiply-adds forward, N M (2D + 2E) backward    3 N M numbers in memory
        kept        N M (D + E) multiply-adds forward, N M (2D + 2E) backward    N M + 2 R M
        blocked     N M (D + E) multiply-adds forward, N M (3D + 2E) backward    3 R M

    A bias is part of the explicit form's matrix; in the others it is P more channels of query and key, P the sum of the
    sizes of the grid of keys, hence N M P more multiply-adds forward and 2 N M P to 3 N M P backward.

    `nlvideo.ops.forms` chooses between these and the fused kernels of `scaled_dot_product_attention`. Only the
    explicit form has a second derivative: asking another for one is an error.

    Scores, softmax and sums over blocks are in float32 for half precision too, and under autocast.
    Raise ValueError if shapes or dtypes do not fit.
    """
    query, key, value = checked_qkv(query, key, value)
    (b, n, d), (_, m, e) = query.shape, value.shape
    check_bias(bias, n, m)
    d += bias_channels([axis.shape[1] for axis in bias], query.dtype, query.device)
    form, _ = softmax_form(b, n, m, d, e, query.dtype, query.device)
    if form == "explicit":
        return reference.softmax_attention(query, key, value, scale, bias)  # (B, N, E)
    if bias:
        query, key = append_bias(query, key, bias, scale)  # (B, N, D + P), (B, M, D + P)
    if form in ("fused", "memory-efficient"):
        return _fused(query, key, value, scale)  # (B, N, E)
    gradient = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)
    out, _ = _blocked(query, key, value, scale, form == "kept" and gradient)
    return out  # (B, N, E)


def multiply_adds(n: int, m: int, d: int, e: int) -> int:
    """Return the multiply-adds of one clip, forward."""
    return n * m * (d + e)


def _fused(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    # One head. The kernels refuse a strided last dimension, and flattened positions come transposed.
    query, key, value = (t.contiguous()[:, None] for t in (query, key, value))  # (B, 1, N or M, D or E)
    with sdpa_kernel(FUSED, set_priority=True):
        return F.scaled_dot_product_attention(query, key, value, scale=scale)[:, 0]  # (B, N, E)


# An operator of our own, so that torch.compile sees one node and not a loop. A block is of one clip, so that it is
# products of matrices, which take either layout and write where their result belongs.
@torch.library.custom_op("nlvideo::softmax_attention", mutates_args=())
def _blocked(query: Tensor, key: Tensor, value: Tensor, scale: float, keep: bool) -> tuple[Tensor, Tensor]:
    """Return y (B, N, E), and the weights (B, N, M) if they are kept, else (B, 0, M)."""
    out, weights = _outputs(query, value, keep)  # (B, N, E), (B, N or 0, M)
    with without_autocast(value):
        for clip in range(len(value)):
            wide_key = widened(key[clip])  # (M, D)
            for rows, (scores, block) in _blocks(query, value, buffers=2):
                if keep and weights.dtype == block.dtype:
                    block = weights[clip, rows]  # (R, M)
                _softmax(widened(query[clip, rows]), wide_key, scale, scores, out=block)
                rounded = block.to(value.dtype)  # (R, M)
                torch.mm(rounded, value[clip], out=out[clip, rows])  # (R, E)
                if keep and rounded is not block:
                    weights[clip, rows] = rounded
    return out, weights


@torch.library.custom_op("nlvideo::softmax_attention_backward", mutates_args=())
def _blocked_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, weights: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    # Many blocks are too many for a sum in half precision.
    sums = [empty_like(t, *t.shape[1:], dtype=widened(t[:0]).dtype).zero_() for t in (query, key, value)]
    grad_query, grad_key, grad_value = sums  # (B, N, D), (B, M, D), (B, M, E)
    kept = weights.shape[1] > 0
    with without_autocast(value):
        for clip in range(len(value)):
            wide_key, wide_value = widened(key[clip]), widened(value[clip])  # (M, D), (M, E)
            for rows, (scores, block, grad_block) in _blocks(query, value, buffers=3):
                wide_query, wide_grad = widened(query[clip, rows]), widened(grad[clip, rows])  # (R, D), (R, E)
                if kept:
                    block = widened(weights[clip, rows])  # (R, M)
                else:
                    _softmax(wide_query, wide_key, scale, scores, out=block)  # (R, M)
                grad_value[clip].addmm_(block.t(), wide_grad)
                torch.mm(wide_grad, wide_value.t(), out=grad_block)  # (R, M)
                # w_ij (dw_ij - sum_j w_ij dw_ij)
                torch.ops.aten._softmax_backward_data.out(grad_block, block, -1, block.dtype, grad_input=scores)
                grad_query[clip, rows].addmm_(scores, wide_key, beta=0, alpha=scale)
                grad_key[clip].addmm_(scores.t(), wide_query, alpha=scale)
    return grad_query.to(query.dtype), grad_key.to(key.dtype), grad_value.to(value.dtype)


def _softmax(query: Tensor, key: Tensor, scale: float, scores: Tensor, *, out: Tensor) -> None:
    """(R, D), (M, D) -> (R, M)."""
    torch.addmm(scores, query, key.t(), beta=0, alpha=scale, out=scores)
    torch.softmax(scores, dim=-1, out=out)


def _blocks(query: Tensor, value: Tensor, *, buffers: int) -> Iterator[tuple[slice, list[Tensor]]]:
    """Iterate over runs of query positions, with float32 buffers (R, M) that are used again for each."""
    n, m = query.shape[1], value.shape[1]
    size = math.ceil(n / max(1, math.ceil(n / block_rows(m, value.device))))  # all of about the same size
    memory = [query.new_empty(size, m, dtype=widened(query[:0]).dtype) for _ in range(buffers)]
    for start in range(0, n, size or 1):
        rows = slice(start, min(start + size, n))
        yield rows, [buffer[: rows.stop - start] for buffer in memory]


def _outputs(query: Tensor, value: Tensor, keep: bool) -> tuple[Tensor, Tensor]:
    (b, n, _), (_, m, e) = query.shape, value.shape
    return empty_like(query, n, e), value.new_empty(b, n if keep else 0, m)


@register_flop_formula(torch.ops.nlvideo.softmax_attention)
def _flops(query: torch.Size, key: torch.Size, value: torch.Size, *_, **__) -> int:
    (b, n, d), (_, m, e) = query, value
    return 2 * b * multiply_adds(n, m, d, e)


@_blocked.register_fake
def _empty_outputs(query: Tensor, key: Tensor, value: Tensor, scale: float, keep: bool) -> tuple[Tensor, Tensor]:
    return _outputs(query, value, keep)


@_blocked_backward.register_fake
def _empty_grads(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, weights: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(empty_like(t, *t.shape[1:]) for t in (query, key, value))


def _setup_context(ctx, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    query, key, value, ctx.scale, _ = inputs
    ctx.set_materialize_grads(False)  # the weights have no gradient; a matrix of zeros would stand for it
    ctx.save_for_backward(query, key, value, output[1])


def _backward(ctx, grad: Tensor | None, _: None) -> tuple:
    if grad is None:
        return (None,) * 5
    return *_blocked_backward(grad, *ctx.saved_tensors, ctx.scale), None, None


_blocked.register_autograd(_backward, setup_context=_setup_context)
