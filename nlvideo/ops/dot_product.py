"""Dot product attention, linear in the number of positions by associativity.

Shapes: B clips, N query positions, M key positions, D and E channels.
"""

import torch
from torch import Tensor

from nlvideo.ops import reference
from nlvideo.ops.forms import dot_product_form, explicit_forms_required
from nlvideo.ops.inputs import checked_qkv
from nlvideo.ops.layout import product


def dot_product_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return y_i = 1/M sum_j (q_i . k_j) v_j: (B, N, D), (B, M, D), (B, M, E) -> (B, N, E).

    Eq. 4 of Wang et al. 2018. Nothing stands between the two products, so either may come first:

        (Q K^T) V    N M (D + E) multiply-adds forward, twice that backward    2 N M numbers in memory
        Q (K^T V)    (N + M) D E multiply-adds forward, twice that backward    2 D E numbers in memory

    The shapes decide which is cheaper, and that alone keeps memory linear: if the first is cheaper,
    N M / (N + M) <= D E / (D + E), hence min(N, M) <= 2 min(D, E), and the matrix is at most twice the
    size of the largest input.

    These are plain matrix products, so autograd, second derivatives, autocast and torch.compile work as usual.
    Raise ValueError if shapes or dtypes do not fit.
    """
    query, key, value = checked_qkv(query, key, value)
    if explicit_forms_required():
        return reference.dot_product_attention(query, key, value)  # (B, N, E)
    (_, n, d), (_, m, e) = query.shape, value.shape
    if dot_product_form(n, m, d, e).form == "explicit":
        # (M, N) if channels come first, so that both products and their gradients do too.
        weights = product(query, key.transpose(1, 2) / m, like=query)  # (B, N, M)
        return product(weights, value, like=query)  # (B, N, E)
    # 1/M before the product is rounded: a sum over 25,088 positions may not fit in float16.
    zero = value.new_zeros(())
    summary = torch.baddbmm(zero, key.transpose(1, 2), value, beta=0, alpha=1 / m)  # (B, D, E)
    return product(query, summary, like=query)  # (B, N, E)


def multiply_adds(n: int, m: int, d: int, e: int) -> int:
    """Return the multiply-adds of one clip."""
    return min(n * m * (d + e), (n + m) * d * e)
