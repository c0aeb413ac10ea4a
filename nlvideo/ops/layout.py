"""Memory layouts of positions: the rows of (B, P, C) tensors may lie positions first or channels first in memory.

A clip in PyTorch's default layout gives positions (B, P, C) whose memory is (B, C, P); one in channels last gives
contiguous ones. Operations return the layout that they were given, so that nothing around them mixes the two.

Shapes: B clips, P positions, C channels.
"""

import torch
from torch import Tensor


def is_channels_first(x: Tensor) -> bool:
    """Return whether positions (B, P, C) have the memory of (B, C, P)."""
    return x.stride(1) == 1 and x.stride(2) != 1


def empty_like(x: Tensor, positions: int, channels: int, dtype: torch.dtype | None = None) -> Tensor:
    """Return an empty (B, positions, channels) in the layout of x, and in its dtype if none is given."""
    if is_channels_first(x):
        return x.new_empty(x.shape[0], channels, positions, dtype=dtype).transpose(1, 2)
    return x.new_empty(x.shape[0], positions, channels, dtype=dtype)


def product(left: Tensor, right: Tensor, *, like: Tensor) -> Tensor:
    """Return left @ right in the layout of `like`."""
    if is_channels_first(like):
        return (right.transpose(-1, -2) @ left.transpose(-1, -2)).transpose(-1, -2)
    return left @ right


def append_channels(x: Tensor, channels: Tensor) -> Tensor:
    """Append the same channels to each clip: (B, P, C), (P, D) -> (B, P, C + D) in the layout of x."""
    channels = channels.expand(x.shape[0], -1, -1)  # (B, P, D)
    if is_channels_first(x):
        return torch.cat([x.transpose(1, 2), channels.transpose(1, 2)], 1).transpose(1, 2)
    return torch.cat([x, channels], 2)
