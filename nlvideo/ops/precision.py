"""Scores of half-precision inputs in float32.

Shapes: B clips, N query positions, M key positions, D channels.
"""

import torch
from torch import Tensor

from nlvideo.ops.layout import product


def widened(x: Tensor) -> Tensor:
    """Return x in float32 if it is in half precision, else x."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def wide_inner_products(query: Tensor, key: Tensor) -> Tensor:
    """Return q_i . k_j in float32 or better: (B, N, D), (B, M, D) -> (B, N, M).

    A score of 30 in bfloat16 is off by up to 1/16, and its exponential by 6 %.
    """
    if query.dtype == widened(query[:0]).dtype:
        return product(query, key.transpose(1, 2), like=query)  # (B, N, M)
    return _HalfInnerProducts.apply(query, key)  # (B, N, M)


class _HalfInnerProducts(torch.autograd.Function):
    """Keeps its inputs in half precision for backward, where autograd would keep their float32 copies."""

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor) -> Tensor:
        ctx.save_for_backward(query, key)
        if query.is_cuda:
            return torch.bmm(query, key.transpose(1, 2), out_dtype=torch.float32)  # (B, N, M)
        return widened(query) @ widened(key).transpose(1, 2)  # (B, N, M)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        query, key = ctx.saved_tensors
        grad = grad.to(query.dtype)  # (B, N, M)
        return grad @ key, grad.transpose(1, 2) @ query  # (B, N, D), (B, M, D)
