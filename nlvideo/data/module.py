"""VideoData: from manifests to batches, for every stage."""

import logging
import os
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Literal

import torch
from lightning import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch.utils.data import DataLoader

from nlvideo.data.clips import Clips, ClipTransform, CutClips, mix_batch
from nlvideo.data.eval_dataset import EvalVideos, ViewSpec
from nlvideo.data.failures import Failures, InProgress
from nlvideo.data.flip_labels import flip_table, flipped_labels
from nlvideo.data.manifest import Sample
from nlvideo.data.option_checks import at_least, positive
from nlvideo.data.protocols import PROTOCOLS, find_protocol
from nlvideo.data.reading import summarize_decoders
from nlvideo.data.samplers import TrainLoader, eval_loader
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.splits import Splits
from nlvideo.data.train_dataset import TrainClips
from nlvideo.data.transforms import Augment, color_augmentation, train_crop
from nlvideo.data.video import Decoder, check_decoder

log = logging.getLogger(__name__)


class VideoData(LightningDataModule):
    """Training clips and test videos. A data set is a manifest (a CSV with the header ``path,label``, or a list
    ``path label``) or a folder that has a folder of videos for each class.

    Args:
        num_classes: labels go from 0 to num_classes - 1; the network gets as many outputs.
        train: manifest or folder of the training videos.
        val: manifest or folder of the validation videos (``validate``, and after each epoch of ``fit``), or the part of
            the training videos that is held out for it, such as 0.2.
        test: manifest or folder of the test videos; null is `val`.
        root: the folder from which a manifest's paths start; null is the manifest's own.
        clip_frames: T, frames of a clip.
        frame_interval: a clip takes every `frame_interval`-th frame. A video too short for that repeats its last frame.
        sampling: dense clips, or segments: one frame from each of T equal parts of the video.
        target_fps: frame rate in which `frame_interval` counts; null takes frames as they are stored.
        short_side: range from which the short side of training frames is drawn; null leaves their size.
        crop_size: side of the square that training and clip level see, in pixels.
        crop_padding: pixels of repeated edge around a training frame, for shifts of frames no larger than the crop.
        flip: flip every other training clip horizontally. With labels, it gets the class whose name has left and right
            exchanged.
        augment: further augmentation of training clips.
        augment_on_device: resize, augment and flip training clips on the device, with the same draws; the workers
            only decode and cut.
        repeats: training clips from one decode of a video; a batch has batch_size / repeats videos.
        eval_short_side: short side of evaluated frames; null leaves their size.
        test_crop_size: side of the square views of video level; null is `crop_size`.
        num_clips: clips of a video at video level, spread over its length.
        num_crops: crops of each clip at video level, spread along the longer side; null is the protocol's.
        protocol: uniform (our clips, crops and pooling), or exactly those of another codebase or the paper: nln,
            slowfast, mmaction, full; see `nlvideo.data.protocols`.
        batch_size: clips of a training batch, on each device.
        eval_batch_size: videos of an evaluation batch, on each device; null is as many as have batch_size views.
        num_workers: decoding processes; null is one for each CPU core, at most 8.
        decoder: auto (decord for formats whose frames it numbers rightly, PyAV for the rest), or one of them.
        decode_timeout: seconds; a video that takes longer to read counts as unreadable.
        max_failed: the part of an epoch that may be unreadable before the training stops.
        seed: of the order of the training samples and of all their draws; seed_everything on the command line.
    """

    def __init__(
        self,
        num_classes: int,
        train: str | None = None,
        val: float | str | None = None,
        test: str | None = None,
        *,
        root: str | None = None,
        clip_frames: int = 8,
        frame_interval: int = 8,
        sampling: Literal["dense", "segments"] = "dense",
        target_fps: float | None = None,
        short_side: tuple[int, int] | None = (256, 320),
        crop_size: int = 224,
        crop_padding: int = 0,
        flip: bool | Literal["labels"] = True,
        augment: Augment | None = None,
        augment_on_device: bool = False,
        repeats: int = 1,
        eval_short_side: int | None = 256,
        test_crop_size: int | None = 256,
        num_clips: int = 10,
        num_crops: int | None = None,
        protocol: str = "uniform",
        batch_size: int = 8,
        eval_batch_size: int | None = None,
        num_workers: int | None = None,
        decoder: Decoder = "auto",
        decode_timeout: float = 120.0,
        max_failed: float = 0.05,
        seed: int = 0,
    ):
        super().__init__()
        at_least(1, num_classes=num_classes, clip_frames=clip_frames, frame_interval=frame_interval, repeats=repeats)
        at_least(1, crop_size=crop_size, test_crop_size=test_crop_size, eval_short_side=eval_short_side)
        at_least(1, num_clips=num_clips, num_crops=num_crops, batch_size=batch_size, eval_batch_size=eval_batch_size)
        at_least(0, crop_padding=crop_padding, num_workers=num_workers)
        positive(target_fps=target_fps, decode_timeout=decode_timeout)
        if not 0 <= max_failed <= 1:
            raise ValueError(f"data.max_failed: expected a part of an epoch, 0 to 1, got {max_failed}")
        if batch_size % repeats:
            raise ValueError(f"data.batch_size: expected a multiple of data.repeats {repeats}, got {batch_size}")
        self.splits = Splits(num_classes, train, val, test, root)
        self.clip_sampling = ClipSampling(clip_frames, frame_interval, sampling, target_fps)
        test_protocol = find_protocol(protocol, self.clip_sampling, num_crops)
        self.augment = augment or Augment()
        self.augment_on_device = augment_on_device
        self.crop = train_crop(crop_size, short_side=short_side, padding=crop_padding, augment=self.augment)
        self.crop_size = crop_size
        self.flip = flip
        self.repeats = repeats
        self.num_classes = num_classes
        self.eval_short_side = eval_short_side
        self.test_crop_size = test_crop_size or crop_size
        self.num_clips = num_clips
        self.num_crops = test_protocol.num_crops if num_crops is None else num_crops
        self.protocol = protocol
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.num_workers = min(os.cpu_count() or 1, 8) if num_workers is None else num_workers
        self.reading = {"decoder": decoder, "timeout": decode_timeout}
        self.max_failed = max_failed
        self.seed = seed
        self.samples: dict[str, list[Sample]] = {}
        self.skipped: frozenset[int] = frozenset()  # rows of the test split
        self.failures: Failures | None = None
        self.in_progress: list[InProgress] = []  # of the data sets in use

    @property
    def class_names(self) -> list[str]:
        return self.splits.class_names

    @property
    def preprocessing(self) -> dict[str, int | float | str | None]:
        """How a clip was cut when the network was trained: what `predict` has to repeat."""
        sampling = asdict(self.clip_sampling)
        frames = {"clip_frames": sampling.pop("num_frames"), **sampling}
        return {**frames, "short_side": self.eval_short_side, "crop_size": self.test_crop_size}

    @property
    def num_failed(self) -> int:
        """Training samples of this epoch so far whose video could not be read, in this process's part of it."""
        return self.failures.in_epoch if self.failures else 0

    def setup(self, stage: str) -> None:
        if self.reading["decoder"] == "torchcodec_cuda" and self.num_workers:
            raise ValueError("data.num_workers: expected 0 for torchcodec_cuda: worker processes cannot use the GPU")
        check_decoder(self.reading["decoder"])
        needed = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}[stage]
        self.samples |= {split: self.splits.read(split) for split in needed}
        ranks = self._ranks()
        if ranks["rank"] == 0:
            rank_zero_info(summarize_decoders([its.path for its in self.samples[needed[0]]], **self.reading))
        if stage != "fit":
            return
        num_videos = len(self.samples["train"])
        if self.splits.part is not None:
            rank_zero_info(f"{len(self.samples['val'])} videos are held out for validation, {num_videos} are left")
        if (most := num_videos * self.repeats // ranks["num_ranks"]) < self.batch_size:
            raise ValueError(
                f"{self.splits.sources['train']}: {num_videos} videos do not fill one batch on each device; set "
                f"data.batch_size to at most {most} (it is {self.batch_size})"
            )
        if self.flip == "labels":
            rank_zero_info(flip_table(self.class_names))

    @property
    def transform(self) -> ClipTransform:
        unchanged = range(self.num_classes) if self.flip else None
        flip_labels = flipped_labels(self.class_names) if self.flip == "labels" else unchanged
        return ClipTransform(self.crop, color_augmentation(self.augment), flip_labels)

    def train_dataloader(self) -> DataLoader:
        dataset = TrainClips(
            self.samples["train"],
            sampling=self.clip_sampling,
            transform=self.transform,
            on_device=self.augment_on_device,
            repeats=self.repeats,
            max_failed=self.max_failed,
            **self.reading,
        )
        self.failures = dataset.failures
        self.in_progress.append(dataset.in_progress)
        return TrainLoader(dataset, self.batch_size // self.repeats, seed=self.seed, **self._ranks(), **self._workers())

    def _ranks(self) -> dict[str, int]:
        rank, num_ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return {"rank": rank, "num_ranks": num_ranks}

    def val_dataloader(self) -> DataLoader:
        return self._eval_loader("val")

    def test_dataloader(self) -> DataLoader:
        return self._eval_loader("test", self.skipped, num_clips=self.num_clips, protocol=self.protocol)

    def skip_in_test(self, rows: Iterable[int]) -> None:
        """Leave rows of the test split out of `test_dataloader`, since they have their scores."""
        self.skipped = frozenset(rows)

    def views(self, split: str) -> dict[str, ViewSpec]:
        """Return by level the views by which an evaluation of ``val`` or ``test`` judges a video."""
        clip = {"clip": ViewSpec(slice(0, 1), self.crop_size)}
        protocol = PROTOCOLS[self.protocol]
        if split == "val":
            return clip
        crop = None if protocol.offsets is None else self.test_crop_size
        trained_crop = self.crop_size if protocol.slides else None
        return {**clip, "video": ViewSpec(slice(1, None), crop, self.num_crops, self.protocol, trained_crop)}

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Finish a training batch on the device: augmentation, mixup and CutMix. Others are left as they are."""
        if not (self.trainer and self.trainer.training):
            return batch
        clips = self.augment_batch(batch)
        return mix_batch(clips, self.num_classes, mixup=self.augment.mixup, cutmix=self.augment.cutmix)

    def augment_batch(self, batch: Clips | list[CutClips]) -> Clips:
        """Return a batch of the training loader, on any device, as clips that are augmented."""
        return self.transform.batch(batch) if self.augment_on_device else batch

    def on_exception(self, exception: BaseException) -> None:
        """Name the videos that crashed a worker process."""
        for path in [path for each in self.in_progress for path in each.read_by_dead_workers(exception)]:
            log.error("the process that died was reading %s", path)

    def _eval_loader(self, split: str, skipped: frozenset[int] = frozenset(), **clips: int | str) -> DataLoader:
        dataset = EvalVideos(
            self.samples[split], sampling=self.clip_sampling, short_side=self.eval_short_side, **clips, **self.reading
        )
        self.in_progress.append(dataset.in_progress)
        num_views = 1 if split == "val" else self.num_clips * self.num_crops
        num_videos = self.eval_batch_size or max(self.batch_size // num_views, 1)
        return eval_loader(dataset, num_videos, skipped=skipped, **self._ranks(), **self._workers())

    def _workers(self) -> dict[str, int | bool]:
        pinned = torch.cuda.is_available() and self.reading["decoder"] != "torchcodec_cuda"
        return {"num_workers": self.num_workers, "persistent_workers": self.num_workers > 0, "pin_memory": pinned}
