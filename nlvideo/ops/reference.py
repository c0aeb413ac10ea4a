"""The non-local operation straight from the paper, with the whole N x M matrix in memory.

    y_i = 1 / C(x) * sum_j f(x_i, x_j) g(x_j)            Eq. 1 of Wang, Girshick, Gupta, He, CVPR 2018

Tests compare the fast forms with these, and the fast forms hand small problems to these. Attention maps
come from `attention_weights`, which fills only the rows that were asked for.

B clips, N query positions, M key positions, Q chosen query positions, D and E channels.
"""

import torch
from torch import Tensor

from nlvideo.ops.inputs import checked_qkv, checked_scores


def softmax_attention(query: Tensor, key: Tensor, value: Tensor, scale: float = 1.0) -> Tensor:
    """Eq. 2 (gaussian) and 3 (embedded gaussian): f = exp(scale * q_i . k_j), C(x) = sum_j f."""
    query, key, value = checked_qkv(query, key, value)
    return _softmax_weights(query, key, scale) @ value  # (B, N, E)


def dot_product_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Eq. 4: f = q_i . k_j, C(x) = M."""
    query, key, value = checked_qkv(query, key, value)
    return _dot_product_weights(query, key) @ value  # (B, N, E)


def concatenation_attention(query_score: Tensor, key_score: Tensor, value: Tensor) -> Tensor:
    """Eq. 5: f = relu(w_f . [theta_i, phi_j]) = relu(a_i + b_j), w_f = [w_1, w_2], C(x) = M.

    The scores are a = w_1 . theta (B, N) and b = w_2 . phi (B, M).
    """
    query_score, key_score, value = checked_scores(query_score, key_score, value)
    return _concatenation_weights(query_score, key_score) @ value  # (B, N, E)


def attention_weights(pairwise: str, query: Tensor, key: Tensor, positions: Tensor, scale: float = 1.0) -> Tensor:
    """f(x_i, x_j) / C(x) for the chosen query positions i: (B, Q, M), without the other rows.

    `query` and `key` are what the operation takes, (B, N, D) and (B, M, D), or for "concatenation" the
    scores (B, N) and (B, M). `positions` (Q,) are indices into N, the same for every clip; `scale` is
    for softmax only.
    """
    chosen = query[:, positions]  # (B, Q, D) or (B, Q)
    if pairwise in ("gaussian", "embedded_gaussian"):
        return _softmax_weights(chosen, key, scale)  # (B, Q, M)
    if pairwise == "dot_product":
        return _dot_product_weights(chosen, key)  # (B, Q, M)
    if pairwise == "concatenation":
        return _concatenation_weights(chosen, key)  # (B, Q, M)
    raise ValueError(
        f"pairwise={pairwise!r}: expected 'gaussian', 'embedded_gaussian', 'dot_product' or 'concatenation'"
    )


def _softmax_weights(query: Tensor, key: Tensor, scale: float) -> Tensor:
    return torch.softmax(scale * query @ key.transpose(1, 2), dim=-1)  # (B, N, M)


def _dot_product_weights(query: Tensor, key: Tensor) -> Tensor:
    return query @ key.transpose(1, 2) / key.shape[1]  # (B, N, M)


def _concatenation_weights(query_score: Tensor, key_score: Tensor) -> Tensor:
    return torch.relu(query_score[:, :, None] + key_score[:, None, :]) / key_score.shape[1]  # (B, N, M)
