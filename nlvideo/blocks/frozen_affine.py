"""A frozen scale and shift by channel: what a batch norm with fixed statistics computes."""

import torch
from torch import Tensor, nn


class FrozenAffine(nn.Module):
    """y = weight * x + bias by channel, [B, C, T, H, W] -> the same shape. Neither is trained.

    A batch norm with scale s, shift b and fixed statistics has weight = s / sqrt(var + eps), bias = b - mean * weight.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        # In float32 for half precision too, as a batch norm computes it.
        return (x * self.weight[:, None, None, None] + self.bias[:, None, None, None]).to(x.dtype)
