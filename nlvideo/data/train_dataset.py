"""From a manifest's row to training clips: decode once, cut, stay uint8. Evaluation's way is in `footage`.

Letters: B clips of a batch, V views of a video, C = 3 channels, T frames, H x W pixels.
"""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as F

from nlvideo.data.clips import TIMEOUT, read_clips
from nlvideo.data.failures import Failures
from nlvideo.data.manifest import Sample
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.video import DecodeError, Decoder

log = logging.getLogger(__name__)

MAX_REPLACEMENTS = 20  # videos tried in place of one that cannot be read


class Clips(NamedTuple):
    """A batch. `index` is the row in the manifest: what makes one vote a video possible."""

    video: Tensor  # [B, V, C, T, H, W] uint8
    label: Tensor  # [B] int64; after mixup [B, K] float32
    index: Tensor  # [B] int64


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
        decoder: Decoder = "auto",
        timeout: float = TIMEOUT,
        max_failed: float = 0.05,
    ):
        self.samples = samples
        self.sampling = sampling
        self.transform = transform
        self.mirrored = mirrored
        self.repeats = repeats
        self.decoder = decoder
        self.timeout = timeout
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
        path, label, _ = self.samples[index]
        draws = torch.rand(self.repeats, self.sampling.num_frames).numpy()

        def choose(video_frames: int, fps: float) -> np.ndarray:
            return np.stack([self.sampling.random(video_frames, fps, draw) for draw in draws])

        frames, clips = read_clips(path, choose, decoder=self.decoder, timeout=self.timeout)
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


def concatenate(clips: Sequence[Clips | None]) -> Clips | None:
    """Batches made one; None where one of them is None."""
    if any(clip is None for clip in clips):
        return None
    return Clips(*(torch.cat(field) for field in zip(*clips, strict=True)))
