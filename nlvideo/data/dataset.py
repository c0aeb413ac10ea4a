"""From a manifest's row to views: decode once, cut, stay uint8.

Letters: B clips of a batch, V views of a video, C = 3 channels, T frames, H x W pixels.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from nlvideo.data import sampling
from nlvideo.data.decode import DecodeError, Video
from nlvideo.data.manifest import Sample
from nlvideo.data.transforms import resize_short_side, uniform_crops

log = logging.getLogger(__name__)


class Clips(NamedTuple):
    """A batch. `index` is the row in the manifest: what makes one vote a video possible."""

    video: Tensor  # [B, V, C, T, H, W] uint8
    label: Tensor  # [B] int64
    index: Tensor  # [B] int64


class TrainClips(Dataset):
    """One random clip of each video, transformed: V = 1.

    Raises:
        DecodeError: in `__getitem__`, for a video that cannot be read.
    """

    def __init__(self, samples: Sequence[Sample], *, clip_frames: int, stride: int, transform: v2.Transform):
        self.samples = samples
        self.clip_frames = clip_frames
        self.stride = stride
        self.transform = transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Clips:
        path, label = self.samples[index]
        video = Video(path)
        span = sampling.clip_span(self.clip_frames, self.stride)
        start = sampling.random_start(span, video.num_frames, torch.rand(()).item())
        frames = video.frames(
            sampling.clip_indices(start, num_frames=self.clip_frames, stride=self.stride, video_frames=video.num_frames)
        )
        views = self.transform(frames)[None]  # (V, T, C, H, W)
        return _clips(views, label, index)


class EvalViews(Dataset):
    """Fixed views of each video: the centre clip, cut in the centre; then, for video level, `num_clips` x
    `num_crops` views spread over time and along the longer side: V = 1 or 1 + num_clips * num_crops.

    The first view is the one of clip level, so that one pass over a test set gives both numbers.

    A video that cannot be read gives None and a warning with its path: evaluation replaces nothing.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        clip_frames: int,
        stride: int,
        short_side: int | None,
        crop: int,
        num_clips: int = 0,
        num_crops: int = 0,
    ):
        self.samples = samples
        self.clip_frames = clip_frames
        self.stride = stride
        self.short_side = short_side
        self.crop = crop
        self.num_clips = num_clips
        self.num_crops = num_crops

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Clips | None:
        path, label = self.samples[index]
        try:
            views = self.views(path)
        except DecodeError as error:
            log.warning("counted as missing: %s", error)
            return None
        return _clips(views, label, index)

    def views(self, path: Path) -> Tensor:
        """Of one video: uint8 [V, T, C, H, W].

        Raises:
            DecodeError: the video cannot be read.
        """
        video = Video(path)
        span = sampling.clip_span(self.clip_frames, self.stride)
        starts = [sampling.centre_start(span, video.num_frames)]
        if self.num_clips:
            starts += sampling.uniform_starts(self.num_clips, span, video.num_frames)
        indices = np.stack(
            [
                sampling.clip_indices(
                    start, num_frames=self.clip_frames, stride=self.stride, video_frames=video.num_frames
                )
                for start in starts
            ]
        )  # (clips, T)
        wanted, position = np.unique(indices, return_inverse=True)
        frames = resize_short_side(video.frames(wanted), self.short_side)  # (distinct frames, C, H, W)
        centre, *clips = torch.from_numpy(position.reshape(indices.shape))
        views = [uniform_crops(frames[centre], self.crop, 1)]
        views += [uniform_crops(frames[clip], self.crop, self.num_crops) for clip in clips]
        return torch.cat(views)


def _clips(views: Tensor, label: int, index: int) -> Clips:
    """Of one video, B left out; views are [V, T, C, H, W]."""
    return Clips(views.transpose(1, 2), torch.tensor(label), torch.tensor(index))


def collate(clips: Sequence[Clips | None]) -> Clips | None:
    """The readable videos of a batch; None where there are none."""
    readable = [clip for clip in clips if clip is not None]
    return Clips(*(torch.stack(field) for field in zip(*readable, strict=True))) if readable else None
