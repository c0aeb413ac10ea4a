"""The training data set: from a row of a manifest to random clips of its video, transformed, in uint8.

Shapes: B clips of a batch, V views of a video, C = 3 channels, T frames, H x W pixels, K classes.
"""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as F

from nlvideo.data.failures import Failures
from nlvideo.data.in_progress import InProgress
from nlvideo.data.manifest import Sample
from nlvideo.data.reading import read_training_clips, run_with_timeout
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.transforms import TrainCrop
from nlvideo.data.video import DecodeError, Decoder

log = logging.getLogger(__name__)

MAX_REPLACEMENTS = 20  # videos tried in place of one that cannot be read


class Clips(NamedTuple):
    """A batch of training clips."""

    video: Tensor  # [B, V, C, T, H, W] uint8
    label: Tensor  # [B] int64; after mixup [B, K] float32
    index: Tensor  # [B] int64, rows in the manifest


class TrainClips(Dataset):
    """Random clips of videos: an item is Clips with B = `repeats` and V = 1.

    A video that cannot be read is reported, counted and replaced by another of its class. If replacements fail as well,
    the item is None, since an exception would reach the main process with a stack trace for its message.

    Args:
        crop: see `transforms.train_crop`.
        transform: of a cropped clip, [T, C, H, W].
        flip_labels: the label of each class after a horizontal flip, None for classes that are not flipped; without
            it, no clip is.
        repeats: clips from one decode of a video (repeated augmentation).
        decoder, timeout, max_failed: see `VideoData`.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        sampling: ClipSampling,
        crop: TrainCrop,
        transform: Callable[[Tensor], Tensor] | None = None,
        flip_labels: Sequence[int | None] | None = None,
        repeats: int = 1,
        decoder: Decoder = "auto",
        timeout: float = 120.0,
        max_failed: float = 0.05,
    ):
        self.samples = samples
        self.reading = {"sampling": sampling, "crop": crop, "repeats": repeats, "decoder": decoder}
        self.crop = crop
        self.transform = transform
        self.flip_labels = flip_labels
        self.timeout = timeout
        self.failures = Failures(samples, max_failed)
        self.in_progress = InProgress(samples)

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
        """Return clips of a random video of the same class; after half of the attempts, of any class."""
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
        with self.in_progress.reading(index):
            clips = run_with_timeout(self.timeout, read_training_clips, path, **self.reading)
        videos, labels = zip(*(self._augment(self.crop(*clip), label) for clip in clips), strict=True)
        video = torch.stack(videos)[:, None].transpose(2, 3)  # [R, 1, C, T, H, W]
        return Clips(video, torch.tensor(labels), torch.full((len(labels),), index))

    def _augment(self, frames: Tensor, label: int) -> tuple[Tensor, int]:
        """Return frames [T, C, H, W] and the label of what they show."""
        if self.transform is not None:
            frames = self.transform(frames)
        if self.flip_labels is not None and torch.rand(()) < 0.5 and self.flip_labels[label] is not None:
            return F.horizontal_flip(frames), self.flip_labels[label]
        return frames, label


def collate_clips(clips: Sequence[Clips | None]) -> Clips | None:
    """Return one batch; None if one of the items is."""
    if any(clip is None for clip in clips):
        return None
    return Clips(*(torch.cat(field) for field in zip(*clips, strict=True)))
