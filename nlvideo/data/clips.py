"""Training clips: cut out of their videos, then augmented, by the worker that reads them or on the device, and mixed.

Shapes: R clips of a video, B clips of a batch, V = 1 view, C = 3 channels, T frames, H x W pixels, K classes.
"""

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from nlvideo.data.transforms import TrainCrop
from nlvideo.data.video import Box


class Clips(NamedTuple):
    """A batch of training clips."""

    video: Tensor  # [B, V, C, T, H, W] uint8
    label: Tensor  # [B] int64; after mixup [B, K] float32
    index: Tensor  # [B] int64, rows of the training split


class CutClips(NamedTuple):
    """The clips of one video before their augmentation."""

    frames: list[Tensor]  # R of [T, C, h, w] uint8: the part of each frame that the crop needs, at its stored size
    boxes: list[Box]  # R, as drawn
    label: int
    index: int  # row of the training split
    rng_state: bytes = b""  # of torch's generator as they were read, if they are augmented elsewhere


class ClipTransform:
    """Make what the network sees of cut clips: crop, color augmentation, flip.

    Args:
        crop: see `transforms.train_crop`.
        color: of a cropped clip, [T, C, H, W]; see `transforms.color_augmentation`.
        flip_labels: the label of each class after a horizontal flip, None for classes that are not flipped; without
            it, no clip is.
    """

    def __init__(
        self,
        crop: TrainCrop,
        color: Callable[[Tensor], Tensor] | None = None,
        flip_labels: Sequence[int | None] | None = None,
    ):
        self.crop = crop
        self.color = color
        self.flip_labels = flip_labels

    def __call__(self, cut: CutClips) -> Clips:
        videos, labels = zip(*map(self._transform, cut.frames, cut.boxes, repeat(cut.label)), strict=True)
        video = torch.stack(videos)[:, None].transpose(2, 3)  # [R, V, C, T, H, W]
        return Clips(video, torch.tensor(labels), torch.full((len(labels),), cut.index))

    def _transform(self, frames: Tensor, box: Box, label: int) -> tuple[Tensor, int]:
        frames = self.crop(frames, box)  # [T, C, H, W]
        if self.color is not None:
            frames = self.color(frames)
        if self.flip_labels is not None and torch.rand(()) < 0.5 and self.flip_labels[label] is not None:
            return F.horizontal_flip(frames), self.flip_labels[label]
        return frames, label

    def batch(self, videos: Sequence[CutClips]) -> Clips:
        """Return a batch of clips that workers have cut, with the random draws that they would have made."""
        clips = []
        with torch.random.fork_rng(devices=[]):  # the network's draws stay what they are
            for cut in videos:
                torch.set_rng_state(torch.frombuffer(bytearray(cut.rng_state), dtype=torch.uint8))
                clips.append(self(cut))
        video, label, index = concatenate(clips)
        return Clips(video, label.to(video.device, non_blocking=True), index.to(video.device, non_blocking=True))


def concatenate(clips: Sequence[Clips]) -> Clips:
    return Clips(*(torch.cat(field) for field in zip(*clips, strict=True)))


def collate_clips(items: Sequence[Clips | CutClips | None]) -> Clips | list[CutClips] | None:
    """Return one batch; None if one of the items is."""
    if any(item is None for item in items):
        return None
    return list(items) if isinstance(items[0], CutClips) else concatenate(items)


def mix_batch(clips: Clips, num_classes: int, *, mixup: float, cutmix: float) -> Clips:
    """Blend each clip with another of the batch, or with a box of it, the same in all its frames.

    Mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019), with torchvision's transforms.

    Args:
        mixup: alpha of mixup, 0 for none.
        cutmix: alpha of CutMix, 0 for none. With both, one of them is drawn.

    Returns:
        The clips themselves if both are 0; else video uint8 as before, label float32 [B, K], a distribution over the
        classes.
    """
    if not (mixup or cutmix):
        return clips
    use_mixup = mixup > 0 and (cutmix == 0 or torch.rand(()) < 0.5)
    images = clips.video.flatten(1, 3)  # (B, VCT, H, W), images of many channels for torchvision
    if use_mixup:
        mixed, label = v2.MixUp(alpha=mixup, num_classes=num_classes)(images.float(), clips.label)
        mixed = mixed.round().to(torch.uint8)
    else:
        mixed, label = v2.CutMix(alpha=cutmix, num_classes=num_classes)(images, clips.label)
    return Clips(mixed.unflatten(1, clips.video.shape[1:4]), label, clips.index)
