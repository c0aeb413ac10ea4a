"""Pictures for loggers that take them, as W&B's does.

Letters: C = 3 channels, T frames, H x W pixels, K classes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from torch import Tensor
from torch.nn import functional as F

from nlvideo.data.eval_dataset import DecodedVideo
from nlvideo.evaluation.plots import plot_confusion
from nlvideo.evaluation.statistics import confusion_matrix

STRIP_FRAMES, STRIP_PIXELS = 8, 112  # at most, of an example clip


class WandbMedia(Callback):
    """Logs some clips with their labels and predictions after each validation, and the confusion matrix when a
    training or a test ends.

    Args:
        num_clips: examples, spread evenly over the validation videos.
    """

    def __init__(self, num_clips: int = 8):
        self.num_clips = num_clips
        self.examples: list[tuple[np.ndarray, str]] = []  # a picture and what stands under it
        self.validated = False

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
            picture = Path(trainer.default_root_dir) / "confusion.png"
            plot_confusion(confusion, names, picture)
            logger.log_image(f"{split}/confusion", [str(picture)], trainer.global_step)


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
