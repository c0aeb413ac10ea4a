"""The evaluation data set: each frame of a video once, and the views that are cut from them on the device.

Ten clips of 128 frames in three crops are 3,840 frames; the video has some hundreds. So decoded frames go to the
device, and views exist only while they pass through the network.

Shapes: n frames of a video, J clips, V views, C = 3 channels, T frames of a clip, H x W pixels.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as F

from nlvideo.data.failures import InProgress
from nlvideo.data.manifest import Sample
from nlvideo.data.protocols import PROTOCOLS
from nlvideo.data.reading import read_eval_clips
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.time_limit import run_with_timeout
from nlvideo.data.video import Box, DecodeError, Decoder

log = logging.getLogger(__name__)


class DecodedVideo(NamedTuple):
    """A video of which views are cut."""

    frames: Tensor  # [n, C, H, W] uint8, each once
    clips: Tensor  # [J, T] int64, places in `frames`: the centre clip of clip level, then those of video level
    label: int
    index: int  # row in the manifest
    numbers: Tensor | None = None  # [n] int64, of `frames` in the video


class EvalVideos(Dataset):
    """Videos for evaluation: an item is a DecodedVideo.

    A video that cannot be read gives None and a warning with its path: evaluation replaces nothing.

    Args:
        num_clips: of video level; 0 for clip level alone.
        short_side, protocol, decoder: see `reading.read_eval_clips`.
        timeout: see `VideoData`.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        sampling: ClipSampling,
        short_side: int | None,
        num_clips: int = 0,
        protocol: str = "uniform",
        decoder: Decoder = "auto",
        timeout: float = 120.0,
    ):
        self.samples = samples
        self.reading = {"sampling": sampling, "short_side": short_side, "num_clips": num_clips, "protocol": protocol}
        self.reading["decoder"] = decoder
        self.timeout = timeout
        self.in_progress = InProgress(samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> DecodedVideo | None:
        path, label, _ = self.samples[index]
        try:
            with self.in_progress.reading(index):
                frames, clips, numbers = run_with_timeout(self.timeout, read_eval_clips, path, **self.reading)
        except DecodeError as error:
            log.warning("counted as missing: %s", error)
            return None
        return DecodedVideo(frames, clips, label, index, numbers)


def collate_readable(videos: Sequence[DecodedVideo | None]) -> list[DecodedVideo]:
    """Return the videos that could be read. They may differ in size, so they are not stacked."""
    return [video for video in videos if video is not None]


@dataclass(frozen=True)
class ViewSpec:
    """The views by which a video is judged.

    Args:
        clips: rows of `DecodedVideo.clips`.
        crop: side of the squares, in pixels; None for whole frames.
        num_crops: squares of each clip.
        protocol: whose offsets, a name in `protocols.PROTOCOLS`.
        trained_crop: if given, the head slides: its mean keeps the size that it had on squares of that side, see
            `Backbone.scores`.
    """

    clips: slice
    crop: int | None
    num_crops: int = 1
    protocol: str = "uniform"
    trained_crop: int | None = None

    def boxes(self, height: int, width: int) -> list[Box]:
        """Return the crops of a frame: spread along the longer side, centred on the shorter one.

        3 crops   [0  |  1  |  2]
        """
        if self.crop is None:
            return [Box(0, 0, height, width)]
        room = max(height, width) - self.crop
        centre = (min(height, width) - self.crop) // 2
        places = [(centre, offset) for offset in PROTOCOLS[self.protocol].offsets(room, self.num_crops)]
        return [Box(*(place if width >= height else place[::-1]), self.crop, self.crop) for place in places]


def iter_views(videos: Sequence[DecodedVideo], views: ViewSpec, at_most: int) -> Iterator[tuple[list[int], Tensor]]:
    """Cut the views of some videos, as they are needed. Views of equal size come together, so that small videos fill a
    batch; those of a video come in order, clip by clip and crop by crop. Frames smaller than the crop are padded with
    their edge.

    Args:
        at_most: views of one batch.

    Yields:
        For each view the video that it shows, and uint8 [V, C, T, h, w].
    """
    jobs: list[tuple[tuple[int, int], int, Tensor, Tensor, Box]] = []  # size, video, frames, clip, box
    for i, video in enumerate(videos):
        frames = _at_least(video.frames, views.crop or 1)
        for clip in video.clips[views.clips]:
            jobs += [(box[2:], i, frames, clip, box) for box in views.boxes(*frames.shape[-2:])]
    jobs.sort(key=lambda job: job[0])
    for _, same_size in groupby(jobs, key=lambda job: job[0]):
        same_size = list(same_size)
        for first in range(0, len(same_size), at_most):
            some = same_size[first : first + at_most]
            yield (
                [i for _, i, *_ in some],
                torch.stack([F.crop(frames, *box)[clip].transpose(0, 1) for _, _, frames, clip, box in some]),
            )


def _at_least(frames: Tensor, side: int) -> Tensor:
    """Return frames [n, C, H, W], padded with their edge if they are smaller."""
    height, width = frames.shape[-2:]
    left, top = max(side - width, 0) // 2, max(side - height, 0) // 2
    right, bottom = max(side - width, 0) - left, max(side - height, 0) - top
    if not (left or top or right or bottom):
        return frames
    return F.pad(frames, [left, top, right, bottom], padding_mode="edge")


class EvalBatchSampler:
    """Rows of a manifest in batches, shared out over processes: every row once, whatever the number of processes.

    Batches are of the manifest, not of a process, so that a video's scores do not depend, not even by rounding, on the
    process that computes them. All processes get equally many, the last of some empty, since collective calls at each
    batch would hang otherwise.

        10 rows, batches of 2, 3 processes     process 0: [0 1] [6 7]     1: [2 3] [8 9]     2: [4 5] []

    Args:
        skipped: rows to leave out.
    """

    def __init__(
        self, num_videos: int, batch_size: int, *, skipped: frozenset[int] = frozenset(), rank: int, num_ranks: int
    ):
        batches = [range(first, min(first + batch_size, num_videos)) for first in range(0, num_videos, batch_size)]
        # Without a batch Lightning ends before the epoch does; an empty one changes nothing.
        left = [rows for batch in batches if (rows := [row for row in batch if row not in skipped])] or [[]]
        self.batches = left[rank::num_ranks]
        if len(self.batches) < -(-len(left) // num_ranks):
            self.batches.append([])

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)
