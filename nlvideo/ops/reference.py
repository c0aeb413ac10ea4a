"""The non-local operation as the paper writes it, with the whole N x M matrix in memory.

    y_i = 1 / C(x) * sum_j f(x_i, x_j) g(x_j)            Eq. 1 of Wang, Girshick, Gupta, He, CVPR 2018

`*_weights` return the matrix f(x_i, x_j) / C(x), `*_attention` its product with the values. Tests compare the fast
forms with these, and the fast forms hand small problems to these.

Shapes: B clips, N query positions, M key positions, D and E channels.
"""

import torch
from torch import Tensor

from nlvideo.ops.inputs import checked_qkv, checked_scores, without_autocast


def softmax_attention(query: Tensor, key: Tensor, value: Tensor, scale: float = 1.0) -> Tensor:
    """Eq. 2 (gaussian) and 3 (embedded gaussian): f = exp(scale * q_i . k_j), C(x) = sum_j f."""
    query, key, value = checked_qkv(query, key, value)
    with without_autocast(value):
        return apply_weights(softmax_weights(query, key, scale), value)  # (B, N, E)


def dot_product_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Eq. 4: f = q_i . k_j, C(x) = M."""
    query, key, value = checked_qkv(query, key, value)
    with without_autocast(value):
        return apply_weights(dot_product_weights(query, key), value)  # (B, N, E)


def concatenation_attention(query_score: Tensor, key_score: Tensor, value: Tensor) -> Tensor:
    """Eq. 5: f = relu(w_f . [theta_i, phi_j]) = relu(a_i + b_j), w_f = [w_1, w_2], C(x) = M.

    The scores are a = w_1 . theta (B, N) and b = w_2 . phi (B, M).
    """
    query_score, key_score, value = checked_scores(query_score, key_score, value)
    with without_autocast(value):
        return apply_weights(concatenation_weights(query_score, key_score), value)  # (B, N, E)


def softmax_weights(query: Tensor, key: Tensor, scale: float = 1.0) -> Tensor:
    """softmax_j(scale * q_i . k_j) in float32 or better: (B, N, D), (B, M, D) -> (B, N, M).

    A score of 30 in bfloat16 is off by up to 1/16, and its exponential by 6 %.
    """
    return torch.softmax(scale * widened(query) @ widened(key).transpose(1, 2), dim=-1)  # (B, N, M)


def dot_product_weights(query: Tensor, key: Tensor) -> Tensor:
    """q_i . k_j / M: (B, N, D), (B, M, D) -> (B, N, M)."""
    return widened(query) @ widened(key).transpose(1, 2) / key.shape[1]  # (B, N, M)


def concatenation_weights(query_score: Tensor, key_score: Tensor) -> Tensor:
    """relu(a_i + b_j) / M: (B, N), (B, M) -> (B, N, M)."""
    return torch.relu(widened(query_score)[:, :, None] + widened(key_score)[:, None, :]) / key_score.shape[1]


def apply_weights(weights: Tensor, value: Tensor) -> Tensor:
    """(B, N, M), (B, M, E) -> (B, N, E) in the dtype of `value`."""
    return weights.to(value.dtype) @ value  # (B, N, E)


def widened(x: Tensor) -> Tensor:
    """Return x in float32 if it is in half precision, else x."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
