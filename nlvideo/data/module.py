"""VideoData: manifests in, batches of Clips out."""

import os

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from nlvideo.data.dataset import EvalViews, TrainClips, collate
from nlvideo.data.manifest import Sample, read_class_names, read_manifest
from nlvideo.data.transforms import train_transform


class VideoData(LightningDataModule):
    """Clips of the videos that CSV manifests (header ``path,label``) name.

    Args:
        num_classes: labels go from 0 to num_classes - 1; the network gets as many outputs.
        train: manifest of the training videos.
        val: manifest of the validation videos: ``validate``, and after each epoch of ``fit``.
        test: manifest of the test videos; `val` where it is left out.
        clip_frames: T, frames of a clip.
        stride: a clip takes every `stride`-th frame. A video too short for that repeats its last frame.
        short_side: training frames are resized so that the short side has a length drawn from these two; null
            leaves their size.
        crop_size: side of the square that training and clip level see, in pixels.
        shift: pixels of repeated edge around a training frame before it is cropped: random shifts for frames no
            larger than the crop.
        flip: mirrors every other training clip; wrong where left and right are part of the label.
        eval_short_side: short side of evaluated frames; null leaves their size.
        test_crop_size: side of the square views of video level; `crop_size` where it is null.
        num_clips: clips of a video at video level, spread over its length.
        num_crops: crops of each clip at video level, spread along the longer side.
        batch_size: clips of a training batch, on each device.
        eval_batch_size: videos of an evaluation batch, on each device.
        num_workers: decoding processes; null is one for each CPU core, at most 8.
    """

    def __init__(
        self,
        num_classes: int,
        train: str | None = None,
        val: str | None = None,
        test: str | None = None,
        *,
        clip_frames: int = 8,
        stride: int = 8,
        short_side: tuple[int, int] | None = (256, 320),
        crop_size: int = 224,
        shift: int = 0,
        flip: bool = True,
        eval_short_side: int | None = 256,
        test_crop_size: int | None = 256,
        num_clips: int = 10,
        num_crops: int = 3,
        batch_size: int = 8,
        eval_batch_size: int = 1,
        num_workers: int | None = None,
    ):
        super().__init__()
        for name in (
            "clip_frames",
            "stride",
            "crop_size",
            "num_clips",
            "num_crops",
            "batch_size",
            "eval_batch_size",
        ):
            if locals()[name] < 1:
                raise ValueError(f"data.{name}: expected at least 1, got {locals()[name]}")
        self.num_classes = num_classes
        self.manifests = {"train": train, "val": val, "test": test or val}
        self.clip_frames = clip_frames
        self.stride = stride
        self.short_side = short_side
        self.crop_size = crop_size
        self.shift = shift
        self.flip = flip
        self.eval_short_side = eval_short_side
        self.test_crop_size = test_crop_size or crop_size
        self.num_clips = num_clips
        self.num_crops = num_crops
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.num_workers = min(os.cpu_count() or 1, 8) if num_workers is None else num_workers
        self.samples: dict[str, list[Sample]] = {}

    @property
    def class_names(self) -> list[str]:
        manifest = next((path for path in self.manifests.values() if path), "")
        return read_class_names(manifest, self.num_classes)

    @property
    def preprocessing(self) -> dict[str, int | None]:
        """How a clip was cut when the network was trained: what `predict` has to repeat."""
        return {
            "clip_frames": self.clip_frames,
            "stride": self.stride,
            "short_side": self.eval_short_side,
            "crop_size": self.test_crop_size,
        }

    def setup(self, stage: str) -> None:
        needed = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}[stage]
        for split in needed:
            if not self.manifests[split]:
                raise ValueError(f"data.{split}: not given; `nlvideo {stage}` needs a manifest, a CSV path,label")
            self.samples[split] = read_manifest(self.manifests[split], self.num_classes)
            read_class_names(self.manifests[split], self.num_classes)  # raises where they disagree
        if stage == "fit" and len(self.samples["train"]) < self.batch_size:
            raise ValueError(
                f"{self.manifests['train']}: {len(self.samples['train'])} videos do not fill one batch; set "
                f"data.batch_size to at most that (it is {self.batch_size})"
            )

    def train_dataloader(self) -> DataLoader:
        transform = train_transform(self.crop_size, short_side=self.short_side, shift=self.shift, flip=self.flip)
        dataset = TrainClips(
            self.samples["train"], clip_frames=self.clip_frames, stride=self.stride, transform=transform
        )
        return self._loader(dataset, batch_size=self.batch_size, shuffle=True, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        return self._loader(self._eval_views("val", self.crop_size), batch_size=self.eval_batch_size)

    def test_dataloader(self) -> DataLoader:
        views = self._eval_views("test", self.test_crop_size, num_clips=self.num_clips, num_crops=self.num_crops)
        return self._loader(views, batch_size=self.eval_batch_size)

    def _eval_views(self, split: str, crop: int, **views: int) -> EvalViews:
        return EvalViews(
            self.samples[split],
            clip_frames=self.clip_frames,
            stride=self.stride,
            short_side=self.eval_short_side,
            crop=crop,
            **views,
        )

    def _loader(self, dataset: Dataset, **options: int | bool) -> DataLoader:
        return DataLoader(
            dataset,
            collate_fn=collate,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            **options,
        )
