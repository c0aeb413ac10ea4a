"""Dot product attention, linear in the number of positions by associativity.

B clips, N query positions, M key positions, D and E channels.
"""

import torch
from torch import Tensor

from nlvideo.ops import reference
from nlvideo.ops.inputs import checked_qkv


def dot_product_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """y_i = 1/M sum_j (q_i . k_j) v_j: (B, N, D), (B, M, D), (B, M, E) -> (B, N, E).

    Eq. 4 of Wang et al. 2018. Nothing stands between the two products, so either may come first:

        (Q K^T) V    N M (D + E) multiply-adds forward, twice that backward    2 N M numbers in memory
        Q (K^T V)    (N + M) D E multiply-adds forward, twice that backward    2 D E numbers in memory

    The shapes decide which is cheaper, and that alone keeps memory linear: where the first is cheaper,
    N M / (N + M) <= D E / (D + E), hence min(N, M) <= 2 min(D, E), and the matrix is at most twice the
    size of the largest input.

    Plain matmuls: autograd, second derivatives, autocast and torch.compile need no help from here.
    Raises ValueError where shapes or dtypes do not fit.
    """
    query, key, value = checked_qkv(query, key, value)
    (_, n, d), (_, m, e) = query.shape, value.shape
    if n * m * (d + e) <= (n + m) * d * e:
        return reference.dot_product_attention(query, key, value)  # (B, N, E)
    # 1/M inside the product, before it is rounded: a sum over 25,088 positions may not fit in float16.
    zero = value.new_zeros(())
    summary = torch.baddbmm(zero, key.transpose(1, 2), value, beta=0, alpha=1 / m)  # (B, D, E)
    return query @ summary  # (B, N, E)
