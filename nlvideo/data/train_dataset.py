"""The training data set: from a row of a split to random clips of its video, in uint8."""

import logging
from collections.abc import Sequence

import torch
from torch.utils.data import Dataset

from nlvideo.data.clips import Clips, ClipTransform, CutClips
from nlvideo.data.failures import Failures, InProgress
from nlvideo.data.manifest import Sample
from nlvideo.data.reading import read_training_clips
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.time_limit import run_with_timeout
from nlvideo.data.video import DecodeError, Decoder

log = logging.getLogger(__name__)

MAX_REPLACEMENTS = 20  # videos tried in place of one that cannot be read


class TrainClips(Dataset):
    """Random clips of videos: an item is the `repeats` clips of one.

    A video that cannot be read is reported, counted and replaced by another of its class. If replacements fail as well,
    the item is None, since an exception would reach the main process with a stack trace for its message.

    Args:
        transform: crop and augmentation.
        on_device: leave clips as CutClips, for `ClipTransform.batch` on the device.
        repeats: clips from one decode of a video (repeated augmentation).
        decoder, timeout, max_failed: see `VideoData`.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        sampling: ClipSampling,
        transform: ClipTransform,
        on_device: bool = False,
        repeats: int = 1,
        decoder: Decoder = "auto",
        timeout: float = 120.0,
        max_failed: float = 0.05,
    ):
        self.samples = samples
        self.reading = {"sampling": sampling, "crop": transform.crop, "repeats": repeats, "decoder": decoder}
        self.transform = transform
        self.on_device = on_device
        self.timeout = timeout
        self.failures = Failures(samples, max_failed)
        self.in_progress = InProgress(samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Clips | CutClips | None:
        try:
            clips = self._read(index)
        except DecodeError as error:
            self.failures.report(index, error)
            self.failures.count_failed(index)
            return self._replacement(index)
        self.failures.note_read()
        return clips

    def _replacement(self, index: int) -> Clips | CutClips | None:
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

    def _read(self, index: int) -> Clips | CutClips:
        path, label, _ = self.samples[index]
        with self.in_progress.reading(index):
            frames, boxes = run_with_timeout(self.timeout, read_training_clips, path, **self.reading)
        if self.on_device:
            return CutClips(frames, boxes, label, index, torch.get_rng_state().numpy().tobytes())
        return self.transform(CutClips(frames, boxes, label, index))
