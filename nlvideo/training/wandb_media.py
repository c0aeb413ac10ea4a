"""Pictures and tables for loggers that take them, as W&B's does.

Letters: C = 3 channels, T frames, H x W pixels, K classes.
"""

from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from torch import Tensor
from torch.nn import functional as F

from nlvideo.cost.tables import NetworkSpec
from nlvideo.data.eval_dataset import DecodedVideo
from nlvideo.evaluation.plots import plot_confusion
from nlvideo.evaluation.statistics import confused_pairs, confusion_matrix

STRIP_FRAMES, STRIP_PIXELS = 8, 112  # at most, of an example clip
SHOWN_PAIRS = 20


class WandbMedia(Callback):
    """Logs what the network's stages cost when a training starts, some clips with their labels and predictions after
    each validation, and the confusion matrix when a training or a test ends.

    Args:
        num_clips: examples, spread evenly over the validation videos.
    """

    def __init__(self, num_clips: int = 8):
        self.num_clips = num_clips
        self.examples: list[tuple[np.ndarray, str]] = []  # a picture and what stands under it
        self.validated = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = trainer.datamodule
        for logger in _loggers(trainer):
            clip = (data.clip_sampling.num_frames, data.crop_size, data.crop_size)
            parts, _ = NetworkSpec(pl_module.net, clip, data.batch_size).parts()
            rows = [
                [
                    part.name,
                    " x ".join(map(str, part.output)),
                    ", ".join(f"{count} {name}" for name, count in part.blocks.items()),
                    part.cost.params / 1e6,
                    part.cost.gmacs,
                    part.cost.kept_bytes / 2**30,
                ]
                for part in parts
            ]
            logger.log_table("network", ["stage", "T x H x W", "blocks", "params M", "GMACs", "GiB"], rows)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.examples = []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: list[DecodedVideo], *_: Any
    ) -> None:
        if trainer.sanity_checking or not _loggers(trainer):
            return
        num_videos = len(trainer.datamodule.samples["val"])
        wanted = {round(row) for row in np.linspace(0, num_videos - 1, self.num_clips)}
        names = trainer.datamodule.class_names
        for video in batch:
            if video.index in wanted:
                score = pl_module.evaluator.video_scores.rows[video.index]["scores"]["clip"]  # (K)
                guess = f"{names[score.argmax()]} {100 * score.max():.0f} %"
                clip = video.frames[video.clips[0]].transpose(0, 1).cpu()  # (C, T, H, W)
                self.examples.append((strip(clip), f"label: {names[video.label]}, prediction: {guess}"))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.validated = not trainer.sanity_checking
        for logger in _loggers(trainer):
            if self.examples:
                pictures, captions = map(list, zip(*self.examples, strict=True))
                logger.log_image("clips", pictures, trainer.global_step, caption=captions)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.validated:
            self._log_confusion(trainer, pl_module, "val")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log_confusion(trainer, pl_module, "test")

    def _log_confusion(self, trainer: Trainer, pl_module: LightningModule, split: str) -> None:
        evaluation, names = pl_module.evaluation, trainer.datamodule.class_names
        for logger in _loggers(trainer):
            confusion = confusion_matrix(evaluation.scores, evaluation.labels)
            picture = f"{trainer.default_root_dir}/confusion.png"
            plot_confusion(confusion, names, picture)
            logger.log_image(f"{split}/confusion", [picture], trainer.global_step)
            pairs = confused_pairs(confusion, SHOWN_PAIRS)
            rows = [[names[label], names[guess], videos] for label, guess, videos in pairs]
            logger.log_table(f"{split}/confused", ["label", "prediction", "videos"], rows, step=trainer.global_step)


def _loggers(trainer: Trainer) -> list[Logger]:
    """Return the loggers that take pictures, in the process that writes."""
    return [logger for logger in trainer.loggers if trainer.is_global_zero and hasattr(logger, "log_image")]


def strip(video: Tensor) -> np.ndarray:
    """Put some frames of a clip side by side: uint8 [C, T, H, W] -> uint8 [h, n * w, C]."""
    steps = torch.linspace(0, video.shape[1] - 1, min(STRIP_FRAMES, video.shape[1])).round().long()
    frames = video[:, steps].transpose(0, 1).float()  # (n, C, H, W)
    scale = min(1.0, STRIP_PIXELS / max(frames.shape[2:]))
    frames = F.interpolate(frames, scale_factor=scale, mode="area")
    return frames.permute(2, 0, 3, 1).flatten(1, 2).round().byte().numpy()  # (h, n * w, C)
