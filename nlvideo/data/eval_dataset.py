"""What evaluation sees of a video: each of its frames once, and views cut from them where the network is.

Ten clips of 128 frames in three crops are 3,840 pictures; the video has some hundreds. So frames go to the device, and
views exist only while they pass through the network.

Letters: n frames of a video, J clips, V views, C = 3 channels, T frames of a clip, H x W pixels.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as F

from nlvideo.data.clips import TIMEOUT, read_clips
from nlvideo.data.manifest import Sample
from nlvideo.data.protocols import TestProtocol, crop_offsets, protocol_clips
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.transforms import resize_short_side
from nlvideo.data.video import DecodeError, Decoder

log = logging.getLogger(__name__)

Box = tuple[int, int, int, int]  # top, left, height, width


class DecodedVideo(NamedTuple):
    """Of one video, what its views are cut from."""

    frames: Tensor  # [n, C, H, W] uint8, each once
    clips: Tensor  # [J, T] int64, places in `frames`: the centre clip of clip level, then those of video level
    label: int
    index: int  # row in the manifest


@dataclass(frozen=True)
class ViewSpec:
    """Which views of its footage a video is judged by.

    Args:
        clips: which rows of `DecodedVideo.clips`.
        crop: side of the squares, in pixels; None takes whole frames.
        num_crops: squares of each clip.
        protocol: whose offsets, see `protocols.crop_offsets`.
        trained_crop: where given, the head slides: its mean keeps the size that it had on squares of that side, see
            `Backbone.scores`.
    """

    clips: slice
    crop: int | None
    num_crops: int = 1
    protocol: TestProtocol = "uniform"
    trained_crop: int | None = None

    def boxes(self, height: int, width: int) -> list[Box]:
        """Where the crops of a frame stand: spread along the longer side, centred on the shorter one.

        3 crops   [0  |  1  |  2]
        """
        if self.crop is None:
            return [(0, 0, height, width)]
        short_offset = (min(height, width) - self.crop) // 2
        return [
            (*((short_offset, offset) if width >= height else (offset, short_offset)), self.crop, self.crop)
            for offset in crop_offsets(self.protocol, max(height, width) - self.crop, self.num_crops)
        ]


def iter_views(videos: Sequence[DecodedVideo], views: ViewSpec, at_most: int) -> Iterator[tuple[list[int], Tensor]]:
    """The views of some videos, cut as they are needed. Those of equal size come together, so that small videos fill a
    batch; each video's come in order, clip by clip and crop by crop.

    Args:
        at_most: views of one batch.

    Yields:
        Of each view which of the videos it shows, and uint8 [V, C, T, h, w].
    """
    jobs: list[tuple[tuple[int, int], int, Tensor, Tensor, Box]] = []  # size, video, frames, clip, box
    for video, footage in enumerate(videos):
        frames = _at_least(footage.frames, views.crop or 1)
        for clip in footage.clips[views.clips]:
            jobs += [(box[2:], video, frames, clip, box) for box in views.boxes(*frames.shape[-2:])]
    jobs.sort(key=lambda job: job[0])
    for _, same_size in groupby(jobs, key=lambda job: job[0]):
        same_size = list(same_size)
        for first in range(0, len(same_size), at_most):
            some = same_size[first : first + at_most]
            yield (
                [video for _, video, *_ in some],
                torch.stack([F.crop(frames[clip], *box).transpose(0, 1) for _, _, frames, clip, box in some]),
            )


class EvalVideos(Dataset):
    """Videos for evaluation: the frames of the centre clip, and for video level those of `num_clips` clips more.

    A video that cannot be read gives None and a warning with its path: evaluation replaces nothing.

    Args:
        sampling: of the clips.
        short_side: frames are resized to it as they are decoded; None leaves them.
        num_clips: of video level; 0 for clip level alone.
        protocol: whose clips those are.
        decoder, timeout: see `VideoData`.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        sampling: ClipSampling,
        short_side: int | None,
        num_clips: int = 0,
        protocol: TestProtocol = "uniform",
        decoder: Decoder = "auto",
        timeout: float = TIMEOUT,
    ):
        self.samples = samples
        self.sampling = sampling
        self.short_side = short_side
        self.num_clips = num_clips
        self.protocol: TestProtocol = protocol
        self.decoder: Decoder = decoder
        self.timeout = timeout

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> DecodedVideo | None:
        path, label, _ = self.samples[index]
        try:
            return DecodedVideo(*self.read(path), label, index)
        except DecodeError as error:
            log.warning("counted as missing: %s", error)
            return None

    def read(self, path: Path) -> tuple[Tensor, Tensor]:
        """`frames` and `clips` of its DecodedVideo.

        Raises:
            DecodeError: the video cannot be read.
        """
        return read_clips(
            path,
            self._choose,
            prepare=partial(resize_short_side, short_side=self.short_side),
            decoder=self.decoder,
            timeout=self.timeout,
        )

    def _choose(self, video_frames: int, fps: float) -> np.ndarray:
        clips = [self.sampling.centre(video_frames, fps)]
        if self.num_clips:
            clips += [*protocol_clips(self.protocol, self.sampling, self.num_clips, video_frames=video_frames, fps=fps)]
        return np.stack(clips)


class EvalBatchSampler:
    """Rows of a manifest in batches, shared out over processes: every row once, whatever the number of processes.

    Batches are of the manifest, not of a process, so that a video's scores do not depend, not even by rounding, on who
    computes them. All processes get equally many, the last of some empty: what the processes do together at each batch
    would hang otherwise.

        10 rows, batches of 2, 3 processes     process 0: [0 1] [6 7]     1: [2 3] [8 9]     2: [4 5] []

    Args:
        num_videos: rows of the manifest.
        batch_size: rows of a batch.
        done: rows that have their scores already.
        rank, num_ranks: of this process, and the number of processes.
    """

    def __init__(self, num_videos: int, batch_size: int, *, done: set[int] = frozenset(), rank: int, num_ranks: int):
        batches = [range(first, min(first + batch_size, num_videos)) for first in range(0, num_videos, batch_size)]
        # Without a batch Lightning ends before the epoch does; an empty one changes nothing.
        left = [rows for batch in batches if (rows := [row for row in batch if row not in done])] or [[]]
        self.batches = left[rank::num_ranks]
        if len(self.batches) < -(-len(left) // num_ranks):
            self.batches.append([])

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


def collate_readable(videos: Sequence[DecodedVideo | None]) -> list[DecodedVideo]:
    """The readable ones: of any size, so they stay apart."""
    return [video for video in videos if video is not None]


def _at_least(frames: Tensor, side: int) -> Tensor:
    """[n, C, H, W], smaller frames padded with their edge."""
    height, width = frames.shape[-2:]
    left, top = max(side - width, 0) // 2, max(side - height, 0) // 2
    right, bottom = max(side - width, 0) - left, max(side - height, 0) - top
    if not (left or top or right or bottom):
        return frames
    return F.pad(frames, [left, top, right, bottom], padding_mode="edge")
