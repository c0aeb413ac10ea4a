"""What a network expects of its pixels."""

import torch
from torch import Tensor


def normalise(video: Tensor, mean: float | list[float], std: float | list[float]) -> Tensor:
    """uint8 [.., C, T, H, W] -> float of the same shape: (pixel / 255 - mean) / std; lists have a number a channel."""
    return (video.float() / 255 - _per_channel(mean, video)) / _per_channel(std, video)


def _per_channel(value: float | list[float], video: Tensor) -> float | Tensor:
    if not isinstance(value, list):
        return value
    if len(value) != video.shape[-4]:
        raise ValueError(f"mean and std: expected a number, or one for each of {video.shape[-4]} channels; got {value}")
    return torch.tensor(value, device=video.device)[:, None, None, None]
