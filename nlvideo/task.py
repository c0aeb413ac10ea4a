"""Training and evaluation of a video classifier.

Letters: B videos of a batch, V views of a video, C = 3 channels, T frames, H x W pixels, K classes.
"""

import math
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from nlvideo import checkpoint as checkpoints
from nlvideo.data.clips import Clips
from nlvideo.data.eval_dataset import DecodedVideo
from nlvideo.data.transforms import normalize, per_channel
from nlvideo.evaluation.evaluator import Evaluator, InferenceDtype
from nlvideo.evaluation.multi_view import Evaluation
from nlvideo.models import Backbone
from nlvideo.models.activation_checkpointing import activation_checkpoint_stages
from nlvideo.models.batch_norm import frozen_at_zero
from nlvideo.models.compile import compile_blocks
from nlvideo.training.loss import TrainMeans, classification_loss, hits, weight_in_step
from nlvideo.training.optim import Optimizer, ResumableSchedule, Schedule, keep_settings
from nlvideo.training.precise_bn import share_statistics, update_statistics
from nlvideo.training.sanity_checks import check_views, refuse_short_clips
from nlvideo.training.trainer import is_last_step, stops_early


class VideoClassifier(LightningModule):
    """A network, its loss and its optimizer.

    Training sees one view of a video. ``validate`` is clip level: one centred clip, one centre crop. ``test`` adds
    video level: the softmax of `num_clips` x `num_crops` views is averaged, one vote a video.

    Args:
        net: the network.
        optimizer: which one, and its settings.
        schedule: of the learning rate.
        label_smoothing: of the training loss.
        mean: of the normalisation (pixel / 255 - mean) / std, or one for each of R, G and B; null: the network's.
        std: of the normalisation; null: the network's.
        views_per_forward: an evaluation runs at most so many views through the network at once: bounds memory.
        inference_dtype: dtype in which ``validate`` and ``test`` compute, whatever trainer.precision is; bfloat16 is
            faster if the processor has units for it, and rounds to three digits. The last linear layer and the softmax
            stay float32. ``auto`` measures some videos first and takes bfloat16 if it is faster and gives each of them
            the same top-1. Validations within ``fit`` compute as its training does, in trainer.precision.
        keep_view_scores: a test writes the scores of each view to the predictions file, not only their mean.
        init_from: file whose weights the network starts from, where names and shapes agree: ours or another codebase's.
        precise_bn: when training ends, compute the statistics of batch norms anew from so many training batches (all
            if there are fewer), with the weights at rest; the paper's code takes 200. 0 leaves the running averages.
        channels_last: memory layout in which bf16 convolutions are fastest.
        compile: torch.compile, in training. The first steps take minutes.
        activation_checkpoint_stages: stages whose activations the backward pass computes once more: less memory, more
            time. [res2, res3] have the largest maps.
    """

    def __init__(
        self,
        net: Backbone,
        *,
        optimizer: Optimizer = Optimizer(),
        schedule: Schedule = Schedule(),
        label_smoothing: float = 0.0,
        mean: float | list[float] | None = None,
        std: float | list[float] | None = None,
        views_per_forward: int = 32,
        inference_dtype: InferenceDtype = "float32",
        keep_view_scores: bool = False,
        init_from: str | None = None,
        precise_bn: int = 0,
        channels_last: bool = False,
        compile: bool = False,
        activation_checkpoint_stages: tuple[str, ...] = (),
    ):
        super().__init__()
        self.net = net
        self.optimizer = optimizer
        self.schedule = schedule
        self.label_smoothing = label_smoothing
        self.mean = net.normalisation[0] if mean is None else mean
        self.std = net.normalisation[1] if std is None else std
        self.register_buffer("_mean", per_channel(self.mean), persistent=False)
        self.register_buffer("_std", per_channel(self.std), persistent=False)
        self.evaluator = Evaluator(
            net,
            self.normalize,
            views_per_forward=views_per_forward,
            inference_dtype=inference_dtype,
            keep_view_scores=keep_view_scores,
        )
        self.init_from = init_from
        self.precise_bn = precise_bn
        self.channels_last = channels_last
        self.compiled = compile
        self.activation_checkpoint_stages = activation_checkpoint_stages
        self.evaluation: Evaluation | None = None  # the latest
        self.run_config: dict[str, Any] = {}  # everything the run was started with, for its checkpoints
        self.train_means = TrainMeans()

    def forward(self, video: Tensor) -> Tensor:
        """uint8 [B, V, C, T, H, W] -> logits (B, V, K); in training (B, V, L, K) where the head has L classifiers."""
        layout = torch.channels_last_3d if self.channels_last else torch.contiguous_format
        views = video.flatten(0, 1).contiguous(memory_format=layout)  # while they are bytes
        logits = self.net(self.normalize(views))
        return logits.float().unflatten(0, video.shape[:2])

    def normalize(self, video: Tensor) -> Tensor:
        """uint8 [.., C, T, H, W] -> float of the same shape."""
        return normalize(video, self._mean, self._std)

    def setup(self, stage: str) -> None:
        num_classes = self.trainer.datamodule.num_classes
        if num_classes != self.net.num_classes:
            raise ValueError(
                f"the data has {num_classes} classes, the network {self.net.num_classes}; set both to the same number"
            )
        check_views(self.net, self.trainer.datamodule, "test" if stage == "test" else "val")
        for note in self.net.notes:
            rank_zero_only(print)(f"model.net: {note}")
        if stage == "fit" and self.init_from is not None:
            rank_zero_only(print)(checkpoints.init_from(self.net, self.init_from))
        if self.channels_last:
            self.net.to(memory_format=torch.channels_last_3d)
        if stage == "test":
            self.evaluator.open_progress(self.trainer)
        if stage == "fit":
            if not any(parameter.requires_grad for parameter in self.net.parameters()):
                raise ValueError("nothing to train: every parameter of the network is frozen")
            if "bf16" in self.trainer.precision and self.trainer.strategy.root_device.type == "cpu":
                refuse_short_clips(self.net)
            if self.compiled:
                compile_blocks(self.net)
            activation_checkpoint_stages(self.net, self.activation_checkpoint_stages)

    def on_fit_start(self) -> None:
        if dead := frozen_at_zero(self.net):
            raise ValueError(
                f"freeze_bn: {dead[0]} and {len(dead) - 1} more norms are frozen where they start, at weight 0: what "
                "stands before them would never learn. Start from a checkpoint that has them trained "
                "(--model.init_from), and give new non-local blocks their own: --model.net.after.block.norm affine"
            )
        if self.precise_bn and self.net.has_frozen_statistics:
            raise ValueError("precise_bn would compute the statistics that freeze_bn keeps; leave one of them out")
        if self.precise_bn and stops_early(self.trainer):
            raise ValueError(
                "precise_bn comes before the last validation, and EarlyStopping ends a training after it; leave one out"
            )

    def on_train_epoch_start(self) -> None:
        self.train_means.reset()

    def training_step(self, clips: Clips, batch_index: int) -> dict[str, Tensor]:
        size = len(clips.label)
        logits = self(clips.video)[:, 0].view(size, -1, self.net.num_classes)  # (B, L, K)
        loss = classification_loss(logits, clips.label, self.label_smoothing)
        self.train_means.update(loss, hits(logits[:, 0].detach(), clips.label))
        # A logged number is copied to the device or from it, which waits for it: only for steps that are logged.
        every = self.trainer.log_every_n_steps
        if every and (self.trainer.global_step + 1) % every == 0:
            self.log("train/loss_step", loss, batch_size=size)
            self.log("lr", self.trainer.optimizers[0].param_groups[0]["lr"])
        num_batches, accumulated = self.trainer.num_training_batches, self.trainer.accumulate_grad_batches
        return {"loss": loss * weight_in_step(batch_index, num_batches, accumulated)}

    def on_train_batch_end(self, outputs: dict[str, Tensor], clips: Clips, batch_index: int) -> None:
        ends = is_last_step(self.trainer)
        if ends or self.trainer.is_last_batch:
            # Of this process; unread videos are rare enough that the sum over processes says it all.
            num_failed = float(self.trainer.datamodule.num_failed)
            self.log("data/failed", num_failed, on_step=False, on_epoch=True, sync_dist=True, reduce_fx="sum")
        if ends:
            self._finish_training()

    def _finish_training(self) -> None:
        """Make the final weights, and let Lightning validate them whatever ended the training."""
        if self.precise_bn:
            loader = self.trainer.train_dataloader
            augment = self.trainer.datamodule.augment_batch
            batches = (augment(move_data_to_device(batch, self.device)) for batch in loader)
            videos = (self.normalize(clips.video[:, 0]) for clips in batches)
            update_statistics(self.net, videos, min(self.precise_bn, len(loader)), self.trainer)
        self.trainer.should_stop = True
        if self.trainer.check_val_every_n_epoch is not None:
            self.trainer.check_val_every_n_epoch = 1

    def on_train_epoch_end(self) -> None:
        self.log_dict(self.train_means.compute())

    def on_validation_start(self) -> None:
        if self.trainer.state.fn == "fit" and self.trainer.world_size > 1:
            share_statistics(self.net)
        self.evaluator.start(self.trainer, "val")

    def on_test_start(self) -> None:
        self.evaluator.start(self.trainer, "test")

    def validation_step(self, videos: list[DecodedVideo], batch_index: int) -> None:
        self.evaluator.score(videos, self.trainer.datamodule.views("val"))

    def test_step(self, videos: list[DecodedVideo], batch_index: int) -> None:
        self.evaluator.score(videos, self.trainer.datamodule.views("test"))

    def on_validation_epoch_end(self) -> None:
        self._finish_evaluation("val")

    def on_test_epoch_end(self) -> None:
        self._finish_evaluation("test")

    def _finish_evaluation(self, split: str) -> None:
        self.evaluation = self.evaluator.finish(self.trainer)
        for level, values in self.evaluation.levels.items():
            self.log_dict({f"{split}/{level}_{name}": value for name, value in values.items()})

    @property
    def step_clips(self) -> int:
        """Clips that one step of the optimizer sees: over all processes and accumulated batches."""
        return self.trainer.datamodule.batch_size * self.trainer.world_size * self.trainer.accumulate_grad_batches

    def configure_optimizers(self) -> dict[str, Any]:
        self.trainer.fit_loop.setup_data()  # the batches of an epoch are counted there
        num_steps = self.trainer.estimated_stepping_batches
        if self.schedule.name == "cosine" and num_steps == math.inf:
            raise ValueError("schedule 'cosine' goes down to the end of a run; set trainer.max_epochs or max_steps")
        steps_per_epoch = math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)
        clips_in_mixed_precision = bool(self.trainer.gradient_clip_val) and "mixed" in self.trainer.precision
        optimizer = self.optimizer.build(self.net, self.step_clips, clips_in_mixed_precision=clips_in_mixed_precision)
        keep_settings(optimizer)
        multiplier = partial(self.schedule.multiplier, num_steps=num_steps, steps_per_epoch=steps_per_epoch)
        scheduler = ResumableSchedule(optimizer, multiplier)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        data = self.trainer.datamodule
        checkpoint["nlvideo"] = checkpoints.record(
            self.net,
            run_config=self.run_config,
            class_names=data.class_names,
            preprocessing={**data.preprocessing, "mean": self.mean, "std": self.std},
        )
        checkpoint["train_sums"] = self.trainer.strategy.reduce(self.train_means.sums(), reduce_op="sum").tolist()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoints.check_same_network(self.net, checkpoint, Path(str(self.trainer.ckpt_path)))
        if self.trainer.state.fn == "fit" and self.trainer.is_global_zero:
            self.train_means.restore(checkpoint["train_sums"])
