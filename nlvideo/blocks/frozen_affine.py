"""A frozen scale and shift by channel: what a batch norm with fixed statistics computes.

Shapes: B clips, C channels, T frames, H x W places in a frame.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FrozenAffine(nn.Module):
    """y = weight * x + bias by channel, [B, C, T, H, W] -> the same shape. Neither is trained.

    A batch norm with scale s, shift b and fixed statistics has weight = s / sqrt(var + eps), bias = b - mean * weight.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and x.requires_grad:
            return _Affine.apply(x, self.weight, self.bias)
        return _affine(x, self.weight, self.bias)


class _Affine(torch.autograd.Function):
    """Keeps nothing of the size of x for backward, where a batch norm in eval mode would keep x."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return _affine(x, weight, bias)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        return _affine(grad, weight, torch.zeros_like(weight)), None, None


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """One pass over x in its dtype and layout, computed in float32: a batch norm of mean 0 and variance 1."""
    eps = 1e-30  # 1 + eps is 1, and torch 2.11 refuses 0
    return F.batch_norm(x, torch.zeros_like(weight), torch.ones_like(weight), weight, bias, training=False, eps=eps)
