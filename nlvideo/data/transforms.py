"""What is done to the frames of a clip, on uint8 [T, 3, H, W]. One draw a clip: its frames stay aligned."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F


@dataclass(frozen=True)
class Augment:
    """What a training clip goes through beyond scale jitter, crop and flip. All off by default.

    Args:
        inverse_jitter: draw 1 / short side evenly in place of the short side (SlowFast): more small ones.
        random_resized_crop_scale: cut out a random part of the frame, of this range of its area and aspect ratio
            3/4 to 4/3, in place of the scale jitter (random resized crop).
        color_jitter: brightness, contrast and saturation times 1 - this to 1 + this.
        rand_augment: magnitude of RandAugment's two operations, 1 to 30.
        erasing: how many of the clips have a random box blacked out, 0 to 1.
        mixup: alpha of mixup; labels become distributions.
        cutmix: alpha of CutMix; with mixup, each batch goes through one of the two.
    """

    inverse_jitter: bool = False
    random_resized_crop_scale: tuple[float, float] | None = None
    color_jitter: float = 0.0
    rand_augment: int = 0
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0


def check_sizes(short_side: tuple[int, int] | None, crop_size: int, crop_padding: int, augment: Augment) -> None:
    """
    Raises:
        ValueError: no frame resized like that has such a crop, or a setting has no effect.
    """
    resized = (
        "data.augment.random_resized_crop_scale"
        if augment.random_resized_crop_scale
        else "data.short_side"
        if short_side
        else None
    )
    if short_side and not crop_size <= short_side[0] <= short_side[1]:
        raise ValueError(
            f"data.short_side: expected two rising lengths of at least the crop of {crop_size} pixels, got "
            f"{list(short_side)}; set data.crop_size or data.short_side, or null for frames as they are"
        )
    if crop_padding and resized:
        raise ValueError(
            f"data.crop_padding: {crop_padding} has no effect with {resized}; set one of them to its default or null"
        )


def train_transform(
    crop: int, *, short_side: tuple[int, int] | None, crop_padding: int = 0, augment: Augment = Augment()
) -> v2.Transform:
    """Scale jitter and random crop (Wang et al. 2018, section 4.1), and what `augment` adds. The flip, which may change
    the label, is the data set's.

    Args:
        crop: side of the square that comes out, in pixels.
        short_side: the frame is resized so that its short side has a length drawn from these two, both counted;
            None leaves its size.
        crop_padding: pixels of edge repeated around the frame before the crop, for crops as large as the frame.
    """
    steps: list[Callable[[Tensor], Tensor]] = []
    if augment.random_resized_crop_scale is not None:
        steps.append(v2.RandomResizedCrop(crop, scale=augment.random_resized_crop_scale, antialias=True))
    elif short_side is not None:
        steps.append(JitteredCrop(crop, short_side, inverse=augment.inverse_jitter))
    else:
        steps.append(v2.RandomCrop(crop, padding=crop_padding or None, pad_if_needed=True, padding_mode="edge"))
    if augment.rand_augment:
        steps.append(v2.RandAugment(magnitude=augment.rand_augment))
    if augment.color_jitter:
        steps.append(v2.ColorJitter(*[augment.color_jitter] * 3))
    if augment.erasing:
        steps.append(v2.RandomErasing(augment.erasing))
    return v2.Compose(steps)


class JitteredCrop:
    """Resize so that the short side has a random length, then cut out a random square; computed the other way round,
    so that only the pixels that are kept are resized.

        frame 340 x 256, short side 320, crop 224:  cut out 224 * 256 / 320 = 179 pixels, resize them to 224
    """

    def __init__(self, crop: int, short_side: tuple[int, int], *, inverse: bool = False):
        self.crop = crop
        self.short_side = short_side
        self.inverse = inverse

    def __call__(self, frames: Tensor) -> Tensor:
        """[T, 3, H, W] -> [T, 3, crop, crop]."""
        height, width = frames.shape[-2:]
        draws = torch.rand(3).tolist()
        low, high = self.short_side
        if self.inverse:
            short_side = round(1 / (1 / high + draws[0] * (1 / low - 1 / high)))
        else:
            short_side = low + int(draws[0] * (high - low + 1))
        side = min(round(self.crop * min(height, width) / short_side), height, width)
        top, left = int(draws[1] * (height - side + 1)), int(draws[2] * (width - side + 1))
        return F.resized_crop(frames, top, left, side, side, [self.crop, self.crop], antialias=True)


def resize_short_side(frames: Tensor, short_side: int | None) -> Tensor:
    """[T, 3, H, W] -> the same with min(H, W) = short_side; unchanged where that is None."""
    return frames if short_side is None else F.resize(frames, [short_side], antialias=True)


def normalize(video: Tensor, mean: float | list[float], std: float | list[float]) -> Tensor:
    """uint8 [.., C, T, H, W] -> float of the same shape: (pixel / 255 - mean) / std; lists have a number a channel."""
    return (video.float() / 255 - _per_channel(mean, video)) / _per_channel(std, video)


def _per_channel(value: float | list[float], video: Tensor) -> float | Tensor:
    if not isinstance(value, list):
        return value
    if len(value) != video.shape[-4]:
        raise ValueError(f"mean and std: expected a number, or one for each of {video.shape[-4]} channels; got {value}")
    return torch.tensor(value, device=video.device)[:, None, None, None]
