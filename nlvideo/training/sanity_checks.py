"""Checks of a training before it costs hours: its settings, the room on the disk, the length of its clips."""

import math
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from nlvideo.training.optim import Schedule

SHORT_EPOCH = 10  # batches: fewer make more epoch than training
KEPT = ("last.ckpt", "best.ckpt")


def check_strategy(strategy: Any) -> None:
    """Raise ValueError if a Trainer's strategy splits parameters: parameter groups are made by whole parameters."""
    name = (strategy if isinstance(strategy, str) else type(strategy).__name__).lower()
    if any(sharded in name for sharded in ("fsdp", "deepspeed", "modelparallel", "model_parallel")):
        raise ValueError(
            f"trainer.strategy {strategy}: not supported; use ddp: the largest network here takes less than 1 GB with "
            "gradients and optimizer"
        )


def check_training(trainer: Trainer, task: LightningModule, folder: Path) -> None:
    """Raise errors and give warnings about settings with which a training would be in vain.

    Args:
        folder: of the run, for the room on its disk.
    """
    if trainer.is_global_zero:
        check_disk(folder, checkpoint_bytes(task, trainer.optimizers))
    num_batches = trainer.num_training_batches
    if num_batches < min(SHORT_EPOCH, trainer.log_every_n_steps):
        rank_zero_warn(
            f"an epoch has only {num_batches} batches, fewer than trainer.log_every_n_steps "
            f"{trainer.log_every_n_steps}: steps are never logged. Set that lower; and a smaller data.batch_size, "
            "or a manifest that names each video several times, makes an epoch longer"
        )
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


def never_reached(schedule: Schedule, end: float) -> list[str]:
    """Return what of a schedule lies beyond the end of a run, in the schedule's unit."""
    warmup = [f"the end of the warm-up, {schedule.warmup:g}"] * (schedule.warmup > end)
    return warmup + [f"milestone {milestone:g}" for milestone in schedule.milestones if milestone >= end]


def checkpoint_bytes(module: LightningModule, optimizers: list[torch.optim.Optimizer]) -> int:
    """Return about how large a checkpoint is: parameters, buffers and the optimizers' state, made as they go."""
    weights = sum(tensor.nbytes for tensor in module.state_dict().values())
    states = {torch.optim.AdamW: 2, torch.optim.Adam: 2, torch.optim.SGD: 1}
    return weights + sum(
        states.get(type(optimizer), 2) * parameter.nbytes
        for optimizer in optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
    )


def check_disk(folder: Path, size: int) -> None:
    """Warn if checkpoints of `size` bytes may not fit on the disk.

    Raises:
        ValueError: if there is no room for a single one.
    """
    free = shutil.disk_usage(folder).free
    present = sum((folder / name).stat().st_size for name in KEPT if (folder / name).is_file())
    needed = size * (len(KEPT) + 1) - present  # one more while it takes an older one's place
    numbers = f"{free / 1e6:,.0f} MB are free and a checkpoint takes about {size / 1e6:,.1f} MB"
    if free < size:
        raise ValueError(f"{folder}: {numbers}; make room, or set runs_dir to another disk")
    if free < needed:
        rank_zero_warn(
            f"{folder}: {numbers}; {len(KEPT)} are kept ({', '.join(KEPT)}) and one is being written: make room for "
            f"{needed / 1e6:,.1f} MB"
        )


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
