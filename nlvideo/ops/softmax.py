"""Softmax attention in memory linear in the number of positions.

Shapes: B clips, N query positions, M key positions, R query positions of one block, D and E channels.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import register_flop_formula

from nlvideo.ops import reference
from nlvideo.ops.forms import explicit_forms_required
from nlvideo.ops.inputs import checked_qkv, without_autocast
from nlvideo.ops.reference import widened

# Scores of one block: 8 MB of float32 stay in the last level of cache. Fewer rows than 128 would slow matrix products
# down more than a larger block does.
BLOCK_SCORES, BLOCK_ROWS = 2**21, 128

FUSED = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION]


def softmax_attention(query: Tensor, key: Tensor, value: Tensor, scale: float = 1.0) -> Tensor:
    """Return y_i = sum_j softmax_j(scale * q_i . k_j) v_j: (B, N, D), (B, M, D), (B, M, E) -> (B, N, E).

    Eq. 2 (gaussian: q = k = x) and Eq. 3 (embedded gaussian: q = theta(x), k = phi(x)) of Wang et al.
    2018, with C(x) = sum_j f.

    The exponential stands between the two products, so all N M scores must be computed. They need not be
    in memory together: a block of R queries sees all of its M keys, so its softmax is complete, its rows
    of y are final, and its scores can be forgotten. Backward computes them again, block by block:

        explicit    N M (D + E) multiply-adds forward, N M (2D + 2E) backward    3 N M numbers in memory
        blocked     N M (D + E) multiply-adds forward, N M (3D + 2E) backward    4 R M

    That is a sixth more arithmetic at D = E, and on a CPU no more time, because the explicit form waits for
    its memory. The shapes choose between three forms, so asking for gradients does not change the values:

    - all scores fit in one block: the explicit form, which computes nothing twice;
    - a CUDA device with a fused kernel made for these channels: `scaled_dot_product_attention`;
    - otherwise blocks. They have no second derivative: asking for one is an error.

    Scores, softmax and sums over blocks are in float32 for half precision too, and under autocast.
    Raise ValueError if shapes or dtypes do not fit.
    """
    query, key, value = checked_qkv(query, key, value)
    (b, n, d), (_, m, e) = query.shape, value.shape
    if explicit_forms_required() or b * n * m <= BLOCK_SCORES:
        return reference.softmax_attention(query, key, value, scale)  # (B, N, E)
    if query.is_cuda and fused_kernel_fits(d, e, query.dtype):
        return _fused(query, key, value, scale)  # (B, N, E)
    return _blocked(query, key, value, scale)  # (B, N, E)


def multiply_adds(n: int, m: int, d: int, e: int) -> int:
    """Return the multiply-adds of one clip, forward."""
    return n * m * (d + e)


def fused_kernel_fits(d: int, e: int, dtype: torch.dtype) -> bool:
    """Return whether PyTorch's fused CUDA kernels are made for D and E channels.

    Flash attention wants D = E <= 256; the memory-efficient kernel takes more, but is not tuned for the
    512 channels of a block at res4; both want rows of whole 16 bytes, and neither has float64. If no
    kernel applies, `scaled_dot_product_attention` silently fills the whole matrix.
    """
    return d == e and d <= 256 and d % 8 == 0 and dtype != torch.float64


def _fused(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    # One head. The kernels refuse a strided last dimension, and flattened positions come transposed.
    query, key, value = (t.contiguous()[:, None] for t in (query, key, value))  # (B, 1, N or M, D or E)
    # Without the math backend in the list, a refusal is an error instead of an N x M matrix.
    with sdpa_kernel(FUSED):
        return F.scaled_dot_product_attention(query, key, value, scale=scale)[:, 0]  # (B, N, E)


# An operator of our own, so that torch.compile sees one node and not a loop of hundreds.
@torch.library.custom_op("nlvideo::softmax_attention", mutates_args=())
def _blocked(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    out = value.new_empty(*query.shape[:2], value.shape[2])  # (B, N, E)
    wide_key = widened(key)  # (B, M, D)
    with without_autocast(value):
        for rows in _blocks(query, key):
            weights = reference.softmax_weights(query[:, rows], wide_key, scale)  # (B, R, M)
            out[:, rows] = reference.apply_weights(weights, value)  # (B, R, E)
    return out


@torch.library.custom_op("nlvideo::softmax_attention_backward", mutates_args=())
def _blocked_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    grad_query = query.new_empty(query.shape)  # (B, N, D)
    # Hundreds of blocks are too many for a sum in half precision.
    wide_key, wide_value = widened(key), widened(value)  # (B, M, D), (B, M, E)
    grad_key, grad_value = (t.new_zeros(t.shape) for t in (wide_key, wide_value))  # (B, M, D), (B, M, E)
    with without_autocast(value):
        for rows in _blocks(query, key):
            wide_query, wide_grad = widened(query[:, rows]), widened(grad[:, rows])  # (B, R, D), (B, R, E)
            weights = reference.softmax_weights(wide_query, wide_key, scale)  # (B, R, M)
            grad_value.baddbmm_(weights.transpose(1, 2), wide_grad)
            grad_weights = wide_grad @ wide_value.transpose(1, 2)  # (B, R, M)
            # w_ij (dw_ij - sum_j w_ij dw_ij)
            grad_scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)  # (B, R, M)
            grad_query[:, rows] = scale * (grad_scores @ wide_key)  # (B, R, D)
            grad_key.baddbmm_(grad_scores.transpose(1, 2), scale * wide_query)
    return grad_query, grad_key.to(key.dtype), grad_value.to(value.dtype)


def _blocks(query: Tensor, key: Tensor) -> list[slice]:
    rows = max(BLOCK_ROWS, BLOCK_SCORES // (key.shape[0] * key.shape[1]))
    return [slice(start, start + rows) for start in range(0, query.shape[1], rows)]


@register_flop_formula(torch.ops.nlvideo.softmax_attention)
def _flops(query: torch.Size, key: torch.Size, value: torch.Size, scale: float, **_) -> int:
    (b, n, d), (_, m, e) = query, value
    return 2 * b * multiply_adds(n, m, d, e)


@_blocked.register_fake
def _empty_out(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    return value.new_empty(*query.shape[:2], value.shape[2])  # (B, N, E)


@_blocked_backward.register_fake
def _empty_grads(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    return query.new_empty(query.shape), key.new_empty(key.shape), value.new_empty(value.shape)


def _setup_context(ctx, inputs: tuple, output: Tensor) -> None:
    query, key, value, ctx.scale = inputs
    ctx.save_for_backward(query, key, value)


def _backward(ctx, grad: Tensor) -> tuple:
    return *_blocked_backward(grad, *ctx.saved_tensors, ctx.scale), None


_blocked.register_autograd(_backward, setup_context=_setup_context)
