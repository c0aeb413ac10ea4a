"""Transforms of the frames of a clip, on uint8 [T, 3, H, W]: one draw per clip, so that its frames stay aligned.

A training crop has two steps. `draw` says which part of a frame is needed, from the frame's size alone, so that only
that part is converted to RGB; calling the crop then makes a square of that part.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from nlvideo.data.video import Box


@dataclass(frozen=True)
class Augment:
    """Augmentation of training clips beyond scale jitter, crop and flip. All off by default.

    Args:
        inverse_jitter: draw 1 / short side uniformly instead of the short side (SlowFast): more small ones.
        random_resized_crop_scale: cut out a random part of the frame, of this range of its area and aspect ratio
            3/4 to 4/3, instead of scale jitter (random resized crop).
        color_jitter: brightness, contrast and saturation times 1 - this to 1 + this.
        rand_augment: magnitude of RandAugment's two operations, 1 to 30.
        erasing: probability that a random box of a clip is blacked out.
        mixup: alpha of mixup; labels become distributions.
        cutmix: alpha of CutMix; with mixup, one of the two is drawn for each batch.
    """

    inverse_jitter: bool = False
    random_resized_crop_scale: tuple[float, float] | None = None
    color_jitter: float = 0.0
    rand_augment: int = 0
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        scale = self.random_resized_crop_scale
        if scale is not None and not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(
                f"data.augment.random_resized_crop_scale: expected two rising parts, 0 to 1, got {list(scale)}"
            )
        highest = {"color_jitter": 1, "rand_augment": 30, "erasing": 1, "mixup": 1e6, "cutmix": 1e6}
        for name, limit in highest.items():
            if not 0 <= getattr(self, name) <= limit:
                raise ValueError(f"data.augment.{name}: expected 0 (off) to {limit:g}, got {getattr(self, name)}")


class TrainCrop(ABC):
    """A random square of a clip.

    Args:
        crop: its side, in pixels.
    """

    def __init__(self, crop: int):
        self.crop = crop

    @abstractmethod
    def draw(self, height: int, width: int) -> Box:
        """Draw the part of a frame that becomes the square. It may exceed the frame."""

    def __call__(self, frames: Tensor, box: Box) -> Tensor:
        """Return [T, 3, crop, crop], given the part of `box` that is inside the frame, [T, 3, h, w]."""
        return F.resize(frames, [self.crop, self.crop], antialias=True)


class JitteredCrop(TrainCrop):
    """Resize so that the short side has a random length, then cut out a random square (Wang et al. 2018, section 4.1);
    computed the other way round, so that only the pixels that are kept are resized.

        frame 340 x 256, short side 320, crop 224:  cut out 224 * 256 / 320 = 179 pixels, resize them to 224

    Args:
        short_side: range of the length, both ends included.
        inverse: draw 1 / length uniformly instead of the length.
    """

    def __init__(self, crop: int, short_side: tuple[int, int], *, inverse: bool = False):
        super().__init__(crop)
        self.short_side = short_side
        self.inverse = inverse

    def draw(self, height: int, width: int) -> Box:
        draws = torch.rand(3).tolist()
        low, high = self.short_side
        if self.inverse:
            short_side = round(1 / (1 / high + draws[0] * (1 / low - 1 / high)))
        else:
            short_side = low + int(draws[0] * (high - low + 1))
        side = min(max(round(self.crop * min(height, width) / short_side), 1), height, width)
        return Box(int(draws[1] * (height - side + 1)), int(draws[2] * (width - side + 1)), side, side)


class RandomResizedCrop(TrainCrop):
    """Cut out a random part of the frame and resize it to a square (Szegedy et al. 2015), as torchvision draws it."""

    def __init__(self, crop: int, scale: tuple[float, float]):
        super().__init__(crop)
        self._crop = v2.RandomResizedCrop(crop, scale=scale)

    def draw(self, height: int, width: int) -> Box:
        return Box(**self._crop.make_params([torch.empty(3, height, width, device="meta")]))


class RandomCrop(TrainCrop):
    """Cut out a random square at the stored size; smaller frames are padded with their edge.

    Args:
        padding: pixels of repeated edge around every frame, for random shifts of frames no larger than the crop.
    """

    def __init__(self, crop: int, padding: int = 0):
        super().__init__(crop)
        self._crop = v2.RandomCrop(crop, padding=padding or None, pad_if_needed=True)

    def draw(self, height: int, width: int) -> Box:
        drawn = self._crop.make_params([torch.empty(3, height, width, device="meta")])
        left, top, _, _ = drawn["padding"]
        return Box(drawn["top"] - top, drawn["left"] - left, self.crop, self.crop)

    def __call__(self, frames: Tensor, box: Box) -> Tensor:
        height, width = frames.shape[-2:]
        top, left = min(max(-box.top, 0), self.crop - height), min(max(-box.left, 0), self.crop - width)
        padding = [left, top, self.crop - width - left, self.crop - height - top]
        return F.pad(frames, padding, padding_mode="edge") if any(padding) else frames


def train_crop(
    crop: int, *, short_side: tuple[int, int] | None, padding: int = 0, augment: Augment = Augment()
) -> TrainCrop:
    """Return the crop that these options of `VideoData` ask for. Raise ValueError if no frame resized like that has
    such a crop, or if an option has no effect."""
    if short_side is not None and not crop <= short_side[0] <= short_side[1]:
        raise ValueError(
            f"data.short_side: expected two rising lengths of at least the crop of {crop} pixels, got "
            f"{list(short_side)}; set data.crop_size or data.short_side, or null for frames as they are"
        )
    resized = augment.random_resized_crop_scale and "data.augment.random_resized_crop_scale"
    resized = resized or (short_side and "data.short_side")
    if padding and resized:
        raise ValueError(
            f"data.crop_padding: {padding} has no effect with {resized}; set one of them to its default or null"
        )
    if augment.random_resized_crop_scale is not None:
        return RandomResizedCrop(crop, augment.random_resized_crop_scale)
    if short_side is not None:
        return JitteredCrop(crop, short_side, inverse=augment.inverse_jitter)
    return RandomCrop(crop, padding)


def color_augmentation(augment: Augment) -> Callable[[Tensor], Tensor]:
    """Return what is done to a clip after its crop, on [T, 3, crop, crop]. The flip, which may change the label, is the
    data set's."""
    steps = []
    if augment.rand_augment:
        steps.append(v2.RandAugment(magnitude=augment.rand_augment))
    if augment.color_jitter:
        steps.append(v2.ColorJitter(*[augment.color_jitter] * 3))
    if augment.erasing:
        steps.append(v2.RandomErasing(augment.erasing))
    return v2.Compose(steps) if steps else v2.Identity()


def resize_short_side(frames: Tensor, short_side: int | None) -> Tensor:
    """[T, 3, H, W] -> the same with min(H, W) = short_side; unchanged if that is None."""
    return frames if short_side is None else F.resize(frames, [short_side], antialias=True)


def normalize(video: Tensor, mean: float | list[float] | Tensor, std: float | list[float] | Tensor) -> Tensor:
    """uint8 [.., C, T, H, W] -> float of the same shape: (pixel / 255 - mean) / std, see `per_channel`."""
    mean, std = per_channel(mean).to(video.device), per_channel(std).to(video.device)
    return (video.float() / 255 - mean) / std


def per_channel(value: float | list[float] | Tensor) -> Tensor:
    """Return a number, or one for each of R, G and B, as a tensor that broadcasts over [.., C, T, H, W]."""
    if not isinstance(value, list):
        return torch.as_tensor(value)
    if len(value) != 3:
        raise ValueError(f"mean and std: expected a number, or one for each of 3 channels; got {value}")
    return torch.tensor(value)[:, None, None, None]
