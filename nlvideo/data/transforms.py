"""What is done to the frames of a clip, on uint8 [T, 3, H, W]. One draw a clip: its frames stay aligned."""

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F


def train_transform(crop: int, *, short_side: tuple[int, int] | None, shift: int, flip: bool) -> v2.Transform:
    """Scale jitter, random crop, flip (Wang et al. 2018, section 4.1).

    Args:
        crop: side of the square that is cut out, in pixels.
        short_side: the frame is resized so that its short side has a length drawn from these two, both counted;
            None leaves its size.
        shift: pixels of edge repeated around the frame before the crop, for crops as large as the frame.
        flip: left to right, every other clip.
    """
    steps: list[v2.Transform] = []
    if short_side is not None:
        low, high = short_side
        steps.append(v2.RandomShortestSize(list(range(low, high + 1)), antialias=True))
    steps.append(v2.RandomCrop(crop, padding=shift or None, pad_if_needed=True, padding_mode="edge"))
    if flip:
        steps.append(v2.RandomHorizontalFlip())
    return v2.Compose(steps)


def resize_short_side(frames: Tensor, short_side: int | None) -> Tensor:
    """[T, 3, H, W] -> the same with min(H, W) = short_side; unchanged where that is None."""
    return frames if short_side is None else F.resize(frames, [short_side], antialias=True)


def uniform_crops(frames: Tensor, crop: int, num_crops: int) -> Tensor:
    """Squares spread evenly along the longer side and centred on the shorter one; one crop is the centre crop.

        3 crops   [0  |  1  |  2]

    Args:
        frames: [T, 3, H, W]; smaller frames than the crop are padded with their edge.

    Returns:
        [num_crops, T, 3, crop, crop].
    """
    height, width = frames.shape[-2:]
    if min(height, width) < crop:
        left, top = max(crop - width, 0) // 2, max(crop - height, 0) // 2
        right, bottom = max(crop - width, 0) - left, max(crop - height, 0) - top
        frames = F.pad(frames, [left, top, right, bottom], padding_mode="edge")
        height, width = frames.shape[-2:]
    spread = [0.5] if num_crops == 1 else [i / (num_crops - 1) for i in range(num_crops)]
    long_offsets = [int((max(height, width) - crop) * part) for part in spread]
    short_offset = (min(height, width) - crop) // 2
    return torch.stack(
        [
            F.crop(frames, *((short_offset, offset) if width >= height else (offset, short_offset)), crop, crop)
            for offset in long_offsets
        ]
    )
