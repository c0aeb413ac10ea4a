"""Checks of a training before it costs hours: its settings and the length of its clips."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from nlvideo.data.module import VideoData
from nlvideo.models import Backbone
from nlvideo.training.optim import Schedule

SHORT_EPOCH = 10  # batches: fewer make more epoch than training


def check_trainer(settings: Mapping[str, Any]) -> None:
    """Raise ValueError for settings of a Trainer that have no place here, with what does their work instead."""
    strategy = settings["strategy"]
    name = (strategy if isinstance(strategy, str) else type(strategy).__name__).lower()
    if any(sharded in name for sharded in ("fsdp", "deepspeed", "modelparallel", "model_parallel")):
        raise ValueError(  # parameter groups are made by whole parameters
            f"trainer.strategy {strategy}: not supported; use ddp: the largest network here takes less than 1 GB with "
            "gradients and optimizer"
        )
    if settings["overfit_batches"]:
        raise ValueError(
            f"trainer.overfit_batches {settings['overfit_batches']}: not supported; to see whether a network learns a "
            "few videos by heart, name them in a manifest, as in --data.train few.csv --data.val few.csv"
        )
    if settings["barebones"] or settings["enable_checkpointing"] is False:
        raise ValueError(
            "trainer.barebones and trainer.enable_checkpointing false: not supported; a run always has its metrics and "
            "checkpoints. --trainer.fast_dev_run true tries one step of everything and keeps nothing"
        )


def check_views(net: Backbone, data: VideoData, split: str) -> None:
    """Raise ValueError if a network does not take the views by which a split is judged."""
    for view in data.views(split).values():
        net.check_views(data.clip_sampling.num_frames, view.crop or data.crop_size, view.trained_crop)


def check_training(trainer: Trainer, task: LightningModule) -> None:
    """Warn about settings with which a training would be in vain."""
    num_batches = trainer.num_training_batches
    if num_batches < min(SHORT_EPOCH, trainer.log_every_n_steps):
        rank_zero_warn(
            f"an epoch has only {num_batches} batches, fewer than trainer.log_every_n_steps "
            f"{trainer.log_every_n_steps}: steps are never logged. Set that lower; and a smaller data.batch_size, "
            "or a manifest that names each video several times, makes an epoch longer"
        )
    data = trainer.datamodule
    if empty := empty_classes((sample.label for sample in data.samples["train"]), data.num_classes):
        rank_zero_warn(f"{data.splits.sources['train']}: {empty}")
    if all(group["initial_lr"] == 0 for group in trainer.optimizers[0].param_groups):
        rank_zero_warn("the learning rate is 0: nothing will be learned; set model.optimizer.lr")
    schedule = task.schedule
    steps_per_epoch = math.ceil(num_batches / trainer.accumulate_grad_batches)
    end = trainer.estimated_stepping_batches / (steps_per_epoch if schedule.unit == "epochs" else 1)
    if late := never_reached(schedule, end):
        rank_zero_warn(
            f"the schedule is longer than the run of {end:g} {schedule.unit}: {', '.join(late)} will not be "
            "reached; set model.schedule or trainer.max_epochs"
        )


def empty_classes(labels: Iterable[int], num_classes: int) -> str:
    """Return a line about classes that no training video has, or "" if there are none."""
    found = set(labels)
    if len(found) == num_classes:
        return ""
    highest = max(found)
    last = f"; its labels go up to {highest}, so expected data.num_classes {highest + 1}" * (highest < num_classes - 1)
    return f"{num_classes - len(found)} of the {num_classes} classes have no training video{last}"


def never_reached(schedule: Schedule, end: float) -> list[str]:
    """Return what of a schedule lies beyond the end of a run, in the schedule's unit."""
    warmup = [f"the end of the warm-up, {schedule.warmup:g}"] * (schedule.warmup > end)
    return warmup + [f"milestone {milestone:g}" for milestone in schedule.milestones if milestone >= end]


def refuse_short_clips(net: nn.Module) -> None:
    """Make the forward pass of `net` raise ValueError if a convolution spans more frames than it is given.

    There the gradient of the weight is memory that nobody has written to: seen with PyTorch 2.15 (oneDNN 3.13), kernels
    of 3 frames on clips of 2 and of 5 on 4, forward and float32 being right.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size[0] > 1:
            module.register_forward_pre_hook(_check_frames)


def _check_frames(conv: nn.Conv3d, args: tuple[Tensor]) -> None:
    (x,) = args
    if conv.training and x.shape[2] < conv.kernel_size[0]:
        raise ValueError(
            f"bf16 on the CPU: a convolution over {conv.kernel_size[0]} frames gets wrong gradients from PyTorch where "
            f"only {x.shape[2]} are left; use longer clips (data.clip_frames) or --trainer.precision 32-true"
        )
