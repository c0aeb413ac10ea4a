"""From a manifest's row to views: decode once, cut, stay uint8.

Letters: B clips of a batch, V views of a video, C = 3 channels, T frames, H x W pixels.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as F

from nlvideo.data.deadline import within
from nlvideo.data.decode import DecodeError, Decoder, Video
from nlvideo.data.failures import Failures
from nlvideo.data.manifest import Sample
from nlvideo.data.protocols import TestProtocol, protocol_clips
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.transforms import resize_short_side, uniform_crops

log = logging.getLogger(__name__)

SECONDS = 120.0  # to read one video; whoever needs longer hangs
MAX_REPLACEMENTS = 20  # videos tried in place of one that cannot be read


class Clips(NamedTuple):
    """A batch. `index` is the row in the manifest: what makes one vote a video possible."""

    video: Tensor  # [B, V, C, T, H, W] uint8
    label: Tensor  # [B] int64; after mixup [B, K] float32
    index: Tensor  # [B] int64


def read_clips(
    path: Path, choose: Callable[[int, float], np.ndarray], *, decoder: Decoder = "pyav", seconds: float = SECONDS
) -> tuple[Tensor, Tensor]:
    """The frames of some clips of a video, each read once however many clips it belongs to.

    Args:
        choose: given the number of frames of the video and its frames a second, int [clips, T].

    Returns:
        Distinct frames, uint8 [n, C, H, W], and where in them the frames of each clip are, int64 [clips, T].

    Raises:
        DecodeError: the video cannot be read, or not in that time.
    """

    def read() -> tuple[Tensor, Tensor]:
        video = Video(path, decoder)
        wanted, position = np.unique(indices := choose(video.num_frames, video.fps), return_inverse=True)
        return video.frames(wanted), torch.from_numpy(position.reshape(indices.shape))

    try:
        return within(seconds, read)
    except TimeoutError as error:
        raise DecodeError(f"{path}: reading it {error}") from error


class TrainClips(Dataset):
    """Random clips of each video, transformed: Clips of B = `repeats` and V = 1.

    A video that cannot be read is reported, counted and replaced by another of its class. Where replacements fail as
    well, the item is None: an error would reach the main process with a stack trace for its message.

    Args:
        sampling: of the clips.
        transform: of the frames of a clip.
        mirrored: the label of each class when its videos are mirrored, None for those that are not; no flip without.
        repeats: clips taken from one decode of a video (repeated augmentation).
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        sampling: ClipSampling,
        transform: Callable[[Tensor], Tensor],
        mirrored: Sequence[int | None] | None = None,
        repeats: int = 1,
        decoder: Decoder = "pyav",
        seconds: float = SECONDS,
        max_failed: float = 0.05,
    ):
        self.samples = samples
        self.sampling = sampling
        self.transform = transform
        self.mirrored = mirrored
        self.repeats = repeats
        self.decoder = decoder
        self.seconds = seconds
        self.failures = Failures(samples, max_failed)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Clips | None:
        try:
            clips = self._read(index)
        except DecodeError as error:
            self.failures.report(index, error)
            self.failures.count_failed(index)
            return self._replacement(index)
        self.failures.count_read(index)
        return clips

    def _replacement(self, index: int) -> Clips | None:
        """Of a random video of the same class; where that fails too often, of any."""
        label = self.samples[index].label
        same = [i for i, sample in enumerate(self.samples) if sample.label == label and i != index]
        for attempt in range(MAX_REPLACEMENTS):
            candidates = same if same and attempt < MAX_REPLACEMENTS // 2 else range(len(self.samples))
            other = candidates[int(torch.randint(len(candidates), ()))]
            try:
                return self._read(other)
            except DecodeError as error:
                self.failures.report(other, error)
        return None

    def _read(self, index: int) -> Clips:
        path, label = self.samples[index]
        draws = torch.rand(self.repeats, self.sampling.num_frames).numpy()

        def choose(video_frames: int, fps: float) -> np.ndarray:
            return np.stack([self.sampling.random(video_frames, fps, draw) for draw in draws])

        frames, clips = read_clips(path, choose, decoder=self.decoder, seconds=self.seconds)
        videos, labels = zip(*(self._augmented(frames[clip], label) for clip in clips), strict=True)
        return Clips(
            torch.stack(videos)[:, None].transpose(2, 3), torch.tensor(labels), torch.full((self.repeats,), index)
        )

    def _augmented(self, frames: Tensor, label: int) -> tuple[Tensor, int]:
        """[T, C, H, W] and the label of what they show."""
        frames = self.transform(frames)
        if self.mirrored is not None and torch.rand(()) < 0.5 and self.mirrored[label] is not None:
            return F.horizontal_flip(frames), self.mirrored[label]
        return frames, label


class EvalViews(Dataset):
    """Fixed views of each video: the centre clip, cut in the centre; then, for video level, `num_clips` x
    `num_crops` views over time and along the longer side: V = 1 or 1 + num_clips * num_crops.

    The first view is the one of clip level, so that one pass over a test set gives both numbers.

    A video that cannot be read gives None and a warning with its path: evaluation replaces nothing.

    Args:
        clip_frames, stride, kind, target_fps: of the clips, see ClipSampling.
        protocol: which clips and crops make the views of video level.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        clip_frames: int,
        stride: int,
        short_side: int | None,
        crop: int,
        kind: str = "dense",
        target_fps: float | None = None,
        num_clips: int = 0,
        num_crops: int = 0,
        protocol: TestProtocol = "uniform",
        decoder: Decoder = "pyav",
        seconds: float = SECONDS,
    ):
        self.samples = samples
        self.sampling = ClipSampling(clip_frames, stride, kind, target_fps)
        self.short_side = short_side
        self.crop = crop
        self.num_clips = num_clips
        self.num_crops = num_crops
        self.protocol = protocol
        self.decoder = decoder
        self.seconds = seconds

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Clips | None:
        path, label = self.samples[index]
        try:
            views = self.views(path)
        except DecodeError as error:
            log.warning("counted as missing: %s", error)
            return None
        return Clips(views.transpose(1, 2), torch.tensor(label), torch.tensor(index))

    def views(self, path: Path) -> Tensor:
        """Of one video: uint8 [V, T, C, H, W].

        Raises:
            DecodeError: the video cannot be read.
        """
        frames, (centre, *clips) = read_clips(path, self._choose, decoder=self.decoder, seconds=self.seconds)
        frames = resize_short_side(frames, self.short_side)  # (distinct frames, C, H, W)
        views = [uniform_crops(frames[centre], self.crop, 1)]
        views += [uniform_crops(frames[clip], self.crop, self.num_crops, self.protocol) for clip in clips]
        return torch.cat(views)

    def _choose(self, video_frames: int, fps: float) -> np.ndarray:
        clips = [self.sampling.centre(video_frames, fps)]
        if self.num_clips:
            clips += [*protocol_clips(self.protocol, self.sampling, self.num_clips, video_frames=video_frames, fps=fps)]
        return np.stack(clips)


def collate(clips: Sequence[Clips | None]) -> Clips | None:
    """The readable videos of a batch; None where there are none."""
    readable = [clip for clip in clips if clip is not None]
    return Clips(*(torch.stack(field) for field in zip(*readable, strict=True))) if readable else None


def concatenate(clips: Sequence[Clips | None]) -> Clips | None:
    """Batches made one; None where one of them is None."""
    if any(clip is None for clip in clips):
        return None
    return Clips(*(torch.cat(field) for field in zip(*clips, strict=True)))
