"""The non-local operation as the paper writes it, with the whole N x M matrix in memory.

    y_i = 1 / C(x) * sum_j f(x_i, x_j) g(x_j)            Eq. 1 of Wang, Girshick, Gupta, He, CVPR 2018

f is a function of a score s_ij, an inner product or, for concatenation, a sum. Tests compare the fast forms with
these, and the fast forms hand small problems to these.

Shapes: B clips, N query positions, M key positions, D and E channels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from nlvideo.ops.inputs import checked_qkv, checked_scores, without_autocast
from nlvideo.ops.layout import product
from nlvideo.ops.position_bias import bias_matrix, check_bias
from nlvideo.ops.precision import wide_inner_products, widened


def softmax_attention(
    query: Tensor, key: Tensor, value: Tensor, scale: float = 1.0, bias: Sequence[Tensor] = ()
) -> Tensor:
    """Eq. 2 (gaussian) and 3 (embedded gaussian): f = exp(scale * q_i . k_j + bias_ij), C(x) = sum_j f.

    The bias is given as `nlvideo.ops.position_bias` has it; the paper has none.
    """
    query, key, value = checked_qkv(query, key, value)
    check_bias(bias, query.shape[1], key.shape[1])
    with without_autocast(value):
        scores = biased(scale * inner_products(query, key), bias_matrix(bias))  # (B, N, M)
        return apply_weights(softmax(scores), value)  # (B, N, E)


def dot_product_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Eq. 4: f = q_i . k_j, C(x) = M."""
    query, key, value = checked_qkv(query, key, value)
    with without_autocast(value):
        return apply_weights(mean(inner_products(query, key)), value)  # (B, N, E)


def concatenation_attention(query_score: Tensor, key_score: Tensor, value: Tensor) -> Tensor:
    """Eq. 5: f = relu(w_f . [theta_i, phi_j]) = relu(a_i + b_j), w_f = [w_1, w_2], C(x) = M.

    The scores are a = w_1 . theta (B, N) and b = w_2 . phi (B, M).
    """
    query_score, key_score, value = checked_scores(query_score, key_score, value)
    with without_autocast(value):
        return apply_weights(relu_mean(sums(query_score, key_score)), value)  # (B, N, E)


def inner_products(query: Tensor, key: Tensor, key_bias: Tensor | None = None) -> Tensor:
    """Return q_i . k_j + c_j in float32 or better: (B, N, D), (B, M, D), (B, M) -> (B, N, M)."""
    scores = wide_inner_products(query, key)  # (B, N, M)
    return scores if key_bias is None else scores + key_bias[:, None]


def biased(scores: Tensor, bias: Tensor | None) -> Tensor:
    """Add the bias of pairs of positions, which is the same for all clips: (B, N, M), (N, M) -> (B, N, M)."""
    return scores if bias is None else scores + bias


def sums(query_score: Tensor, key_score: Tensor) -> Tensor:
    """Return a_i + b_j in float32 or better: (B, N), (B, M) -> (B, N, M)."""
    return widened(query_score)[:, :, None] + widened(key_score)[:, None, :]  # (B, N, M)


def softmax(scores: Tensor) -> Tensor:
    """exp(s_ij) / sum_j exp(s_ij): (B, N, M) -> (B, N, M)."""
    return torch.softmax(scores, dim=-1)


def mean(scores: Tensor) -> Tensor:
    """s_ij / M: (B, N, M) -> (B, N, M)."""
    return scores / scores.shape[-1]


def relu_mean(scores: Tensor) -> Tensor:
    """relu(s_ij) / M: (B, N, M) -> (B, N, M)."""
    return torch.relu(scores) / scores.shape[-1]


def apply_weights(weights: Tensor, value: Tensor) -> Tensor:
    """(B, N, M), (B, M, E) -> (B, N, E) in the dtype and the layout of `value`."""
    return product(weights.to(value.dtype), value, like=value)  # (B, N, E)
