"""Training and evaluation of a video classifier.

Letters: B videos of a batch, V views of a video, C = 3 channels, T frames, H x W pixels, K classes.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.nn import functional as F

from nlvideo import checkpoint as checkpoints
from nlvideo.metrics import VideoScores, accuracies
from nlvideo.models import Backbone
from nlvideo.models.bfloat16 import refuse_short_clips
from nlvideo.models.freeze import frozen_at_zero
from nlvideo.models.regions import checkpoint_stages, compile_regions
from nlvideo.optim import Optimizer, Schedule
from nlvideo.precise_bn import ends_training, update_statistics


@dataclass
class Evaluation:
    """What one pass over a set of videos gave.

    Attributes:
        levels: of "clip" (one centred view) and, in a test, "video" (all views): top1, top5, mean_class, loss.
        scores: [n, K], averaged softmax of the videos that could be read: of the last level.
        labels: [n].
        indices: [n], their rows in the manifest.
        num_videos: rows of the manifest.
    """

    levels: dict[str, dict[str, float]]
    scores: Tensor
    labels: Tensor
    indices: Tensor
    num_videos: int

    def missing(self) -> list[int]:
        """Rows of the manifest that could not be read."""
        return sorted(set(range(self.num_videos)) - set(self.indices.tolist()))


class VideoClassifier(LightningModule):
    """A network, its loss and its optimiser.

    Training sees one view of a video. ``validate`` is clip level: one centred clip, one centre crop. ``test`` is
    video level: the softmax of `num_clips` x `num_crops` views is averaged, one vote a video.

    Args:
        net: the network.
        optimizer: which one, and its settings.
        schedule: of the learning rate.
        label_smoothing: of the training loss.
        mean: of the normalisation, in units of the full pixel range: (pixel / 255 - mean) / std. A number, or one for
            each of R, G and B.
        std: of the normalisation.
        views_per_forward: a test runs at most so many views through the network at once: bounds memory.
        init_from: a file whose weights the network starts from, wherever names and shapes agree: a checkpoint of
            nlvideo, or another codebase's file as `nlvideo.checkpoint.convert` reads it.
        precise_bn: after the last epoch the statistics of batch norms are computed anew from so many training
            batches (all where there are fewer), with the weights at rest; the paper's code takes 200. 0 leaves the
            running averages.
        channels_last: the memory layout in which bf16 convolutions are fastest: channels of a place side by side.
        compile: torch.compile, in training. The first steps take minutes.
        checkpoint_stages: of these stages the backward pass computes activations once more in place of keeping them:
            less memory, and more time. [res2, res3] have the largest maps.
    """

    def __init__(
        self,
        net: Backbone,
        *,
        optimizer: Optimizer = Optimizer(),
        schedule: Schedule = Schedule(),
        label_smoothing: float = 0.0,
        mean: float | list[float] = 0.45,
        std: float | list[float] = 0.225,
        views_per_forward: int = 32,
        init_from: str | None = None,
        precise_bn: int = 0,
        channels_last: bool = False,
        compile: bool = False,
        checkpoint_stages: tuple[str, ...] = (),
    ):
        super().__init__()
        self.net = net
        self.optimizer = optimizer
        self.schedule = schedule
        self.label_smoothing = label_smoothing
        self.mean = mean
        self.std = std
        self.views_per_forward = views_per_forward
        self.init_from = init_from
        self.precise_bn = precise_bn
        self.channels_last = channels_last
        self.compiled = compile
        self.checkpoint_stages = checkpoint_stages
        self.clip_scores = VideoScores()
        self.video_scores = VideoScores()
        self.evaluation: Evaluation | None = None
        self.run_config: dict[str, Any] = {}  # everything the run was started with, for its checkpoints

    def forward(self, video: Tensor) -> Tensor:
        """uint8 [B, V, C, T, H, W] -> logits (B, V, K); in training (B, V, L, K) where the head has L classifiers."""
        views = video.flatten(0, 1).split(self.views_per_forward)
        layout = torch.channels_last_3d if self.channels_last else torch.contiguous_format
        views = [view.contiguous(memory_format=layout) for view in views]  # while they are bytes
        logits = torch.cat([self.net(checkpoints.normalise(view, self.mean, self.std)) for view in views])
        return logits.float().unflatten(0, video.shape[:2])

    def setup(self, stage: str) -> None:
        num_classes = self.trainer.datamodule.num_classes
        if num_classes != self.net.num_classes:
            raise ValueError(
                f"the data has {num_classes} classes, the network {self.net.num_classes}; set data.num_classes and "
                "the network's num_classes to the same number"
            )
        # A resumed run has gone on from there long since.
        if stage == "fit" and self.init_from is not None and self.trainer.ckpt_path is None:
            rank_zero_only(print)(checkpoints.init_from(self.net, self.init_from))
        if self.channels_last:
            self.net.to(memory_format=torch.channels_last_3d)
        if stage == "fit":
            if "bf16" in self.trainer.precision and self.trainer.strategy.root_device.type == "cpu":
                refuse_short_clips(self.net)
            if self.compiled:
                compile_regions(self.net)
            checkpoint_stages(self.net, self.checkpoint_stages)

    def on_fit_start(self) -> None:
        if dead := frozen_at_zero(self.net):
            raise ValueError(
                f"freeze_bn: {dead[0]} and {len(dead) - 1} more norms are frozen where they start, at weight 0: what "
                "stands before them would never learn. Start from a checkpoint that has them trained "
                "(--model.init_from), and give new non-local blocks their own: --model.net.after.block.norm affine"
            )
        if self.precise_bn and self.net.config()["init_args"].get("freeze_bn", "none") != "none":
            raise ValueError("precise_bn would compute the statistics that freeze_bn keeps; leave one of them out")

    def training_step(self, clips, batch_index: int) -> Tensor:
        size = len(clips.label)
        # L classifiers: the network's own first, then the auxiliary ones that its head may have. Their losses add.
        logits = self(clips.video)[:, 0].view(size, -1, self.net.num_classes)  # (B, L, K)
        num_classifiers = logits.shape[1]
        labels = clips.label.repeat_interleave(num_classifiers, dim=0)  # (B * L), or (B * L, K) where clips are mixed
        loss = num_classifiers * F.cross_entropy(logits.flatten(0, 1), labels, label_smoothing=self.label_smoothing)
        label = clips.label if clips.label.ndim == 1 else clips.label.argmax(dim=1)  # (B)
        top1 = (logits[:, 0].argmax(dim=1) == label).float().mean()
        self.log("train/loss", loss, on_step=True, on_epoch=True, prog_bar=True, batch_size=size)
        self.log("train/top1", top1, on_step=False, on_epoch=True, prog_bar=True, batch_size=size)
        self.log("lr", self.lr_schedulers().get_last_lr()[0])
        return loss

    def on_train_epoch_end(self) -> None:
        # Of this process; unread videos are rare enough that the sum over processes says it all.
        self.log("data/failed", float(self.trainer.datamodule.num_failed), sync_dist=True, reduce_fx="sum")

    def validation_step(self, clips, batch_index: int) -> None:
        self._evaluation_step(clips)

    def test_step(self, clips, batch_index: int) -> None:
        self._evaluation_step(clips)

    def _evaluation_step(self, clips) -> None:
        if clips is None:  # no video of this batch could be read
            return
        scores = self(clips.video).softmax(dim=-1)  # (B, V, K)
        self.clip_scores.update(scores[:, 0], clips.label, clips.index)
        if scores.shape[1] > 1:
            self.video_scores.update(scores[:, 1:].mean(dim=1), clips.label, clips.index)

    def on_validation_start(self) -> None:
        if self.precise_bn and ends_training(self.trainer):
            loader = self.trainer.train_dataloader
            videos = (checkpoints.normalise(clips.video[:, 0].to(self.device), self.mean, self.std) for clips in loader)
            update_statistics(self.net, videos, min(self.precise_bn, len(loader)), self.trainer)

    def on_validation_epoch_end(self) -> None:
        self._finish_evaluation("val", self.trainer.val_dataloaders, {"clip": self.clip_scores})

    def on_test_epoch_end(self) -> None:
        levels = {"clip": self.clip_scores, "video": self.video_scores}
        self._finish_evaluation("test", self.trainer.test_dataloaders, levels)

    def _finish_evaluation(self, stage: str, loader, metrics: dict[str, VideoScores]) -> None:
        levels = {}
        for level, metric in metrics.items():
            scores, labels, indices = metric.gather()
            metric.reset()
            if not len(labels):
                raise ValueError(f"none of the {len(loader.dataset)} videos could be read; see the warnings above")
            # The scores are probabilities already; a zero would make the loss infinite.
            loss = F.nll_loss(scores.clamp_min(1e-12).log(), labels).item()
            levels[level] = {**accuracies(scores, labels), "loss": loss}
            self.log_dict({f"{stage}/{level}_{name}": value for name, value in levels[level].items()})
        self.evaluation = Evaluation(levels, scores, labels, indices, len(loader.dataset))

    @property
    def step_clips(self) -> int:
        """Clips that one step of the optimiser sees: over all processes and accumulated batches."""
        return self.trainer.datamodule.batch_size * self.trainer.world_size * self.trainer.accumulate_grad_batches

    def configure_optimizers(self) -> dict[str, Any]:
        if self.optimizer.fused and self.trainer.gradient_clip_val and "mixed" in self.trainer.precision:
            raise ValueError(
                "optimizer.fused and trainer.gradient_clip_val: not together in mixed precision, where a fused "
                "optimiser unscales the gradients itself; leave one of them out"
            )
        self.trainer.fit_loop.setup_data()  # the batches of an epoch are counted there
        num_steps = self.trainer.estimated_stepping_batches
        if self.schedule.name == "cosine" and num_steps == math.inf:
            raise ValueError("schedule 'cosine' goes down to the end of a run; set trainer.max_epochs or max_steps")
        steps_per_epoch = math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)
        optimizer = self.optimizer.build(self.parameters(), self.step_clips)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self.schedule.multiplier(step, num_steps, steps_per_epoch)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        data = self.trainer.datamodule
        checkpoint["nlvideo"] = checkpoints.record(
            self.net,
            run_config=self.run_config,
            class_names=data.class_names,
            preprocessing={**data.preprocessing, "mean": self.mean, "std": self.std},
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        path = Path(str(self.trainer.ckpt_path))
        checkpoints.check_same_network(self.net, checkpoint, path)
