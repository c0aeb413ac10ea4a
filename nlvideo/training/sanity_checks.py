"""What a run is checked for, before it costs hours and while it goes."""

import math
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from nlvideo.training.optim import Schedule

SHORT_EPOCH = 10  # batches: fewer make more epoch than training
KEPT = ("last.ckpt", "best.ckpt")
SHOWN = 20  # videos of a batch
LOOK_EVERY = 50  # batches, where steps are not logged
NEVER = 2**62  # a step


def check_strategy(strategy: Any) -> None:
    """Raise ValueError if a Trainer's strategy splits parameters: parameter groups are made by whole parameters."""
    name = (strategy if isinstance(strategy, str) else type(strategy).__name__).lower()
    if any(sharded in name for sharded in ("fsdp", "deepspeed", "modelparallel", "model_parallel")):
        raise ValueError(
            f"trainer.strategy {strategy}: not supported; use ddp: the largest network here takes less than 1 GB with "
            "gradients and optimizer"
        )


class BeforeTraining(Callback):
    """Errors and warnings about settings with which a training would be in vain.

    Args:
        folder: of the run, for the room on its disk.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit" and not any(parameter.requires_grad for parameter in pl_module.net.parameters()):
            raise ValueError("nothing to train: every parameter of the network is frozen; let some have requires_grad")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            check_disk(self.folder, checkpoint_bytes(pl_module, trainer.optimizers))
        num_batches = trainer.num_training_batches
        if num_batches < min(SHORT_EPOCH, trainer.log_every_n_steps):
            rank_zero_warn(
                f"an epoch has only {num_batches} batches, fewer than trainer.log_every_n_steps "
                f"{trainer.log_every_n_steps}: steps are never logged. Set that lower; and a smaller data.batch_size, "
                "or a manifest that names each video several times, makes an epoch longer"
            )
        if all(group["initial_lr"] == 0 for group in trainer.optimizers[0].param_groups):
            rank_zero_warn("the learning rate is 0: nothing will be learned; set model.optimizer.lr")
        schedule = pl_module.schedule
        steps_per_epoch = math.ceil(num_batches / trainer.accumulate_grad_batches)
        end = trainer.estimated_stepping_batches / (steps_per_epoch if schedule.unit == "epochs" else 1)
        if late := never_reached(schedule, end):
            rank_zero_warn(
                f"the schedule is longer than the run of {end:g} {schedule.unit}: {', '.join(late)} will not be "
                "reached; set model.schedule or trainer.max_epochs"
            )


def never_reached(schedule: Schedule, end: float) -> list[str]:
    """What of a schedule lies beyond the end of a run, in the schedule's unit."""
    warmup = [f"the end of the warm-up, {schedule.warmup:g}"] * (schedule.warmup > end)
    return warmup + [f"milestone {milestone:g}" for milestone in schedule.milestones if milestone >= end]


def checkpoint_bytes(module: LightningModule, optimizers: list[torch.optim.Optimizer]) -> int:
    """About how large a checkpoint is: parameters, buffers and the optimisers' state, which they make as they go."""
    weights = sum(tensor.nbytes for tensor in module.state_dict().values())
    states = {torch.optim.AdamW: 2, torch.optim.Adam: 2, torch.optim.SGD: 1}
    return weights + sum(
        states.get(type(optimizer), 2) * parameter.nbytes
        for optimizer in optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
    )


def check_disk(folder: Path, size: int) -> None:
    """
    Raises:
        ValueError: there is no room for a single checkpoint of that many bytes.
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


class FiniteLoss(Callback):
    """Stops a run whose loss is not a finite number, with the videos of the batch where that began.

    The losses stay on their device: they are looked at with each log step and before each checkpoint, so that no step
    has to wait for the one before.
    """

    def __init__(self):
        self.last_good: Path | None = None  # a checkpoint
        self._first_bad: Tensor | None = None  # place in `_batches`, from 1; 0 where all are finite
        self._batches: list[tuple[int, Tensor]] = []  # since the last look: step and rows of the manifest

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: dict[str, Tensor], batch, batch_idx: int
    ) -> None:
        self._batches.append((trainer.global_step, batch.index))
        first_bad = self._first_bad if self._first_bad is not None else torch.zeros_like(outputs["loss"])
        bad = (first_bad == 0) & ~outputs["loss"].isfinite()
        self._first_bad = first_bad.masked_fill(bad, len(self._batches))
        if (batch_idx + 1) % (trainer.log_every_n_steps or LOOK_EVERY) == 0:
            self.check(trainer)

    def check(self, trainer: Trainer, *, weights: bool = False) -> None:
        """In all processes at the same time.

        Args:
            weights: looks at them too: a finite loss may have infinite gradients.

        Raises:
            ValueError: in each process, if it found something in one.
        """
        first_bad = 0 if self._first_bad is None else int(self._first_bad)
        what = "loss"
        if weights and not _finite_weights(trainer) and not first_bad:
            first_bad, what = len(self._batches), "weights"
        # The earliest step of all processes, and in it a loss before the weights that it spoils.
        mine = 2 * self._batches[first_bad - 1][0] + (what == "weights") if first_bad else NEVER
        found = torch.tensor(mine, device=trainer.strategy.root_device)
        earliest = trainer.strategy.reduce(found, reduce_op="min").item()
        if earliest == NEVER:
            del self._batches[:-1]  # the last one's gradients may show in the weights yet
            self._first_bad = None
            return
        where = f"not finite from step {earliest // 2} on"
        if earliest != mine:
            raise ValueError(f"in another process, which names the videos, the loss or the weights are {where}")
        rows = self._batches[first_bad - 1][1].tolist()
        samples = trainer.datamodule.samples["train"]
        videos = ", ".join(f"{samples[row].path} (row {row})" for row in rows[:SHOWN])
        kept = f"the last good checkpoint is {self.last_good}" if self.last_good else "there is no checkpoint yet"
        raise ValueError(
            f"{what} {where}, in the batch of {videos}; {kept}. Go on from it with a lower --model.optimizer.lr and "
            "--ckpt_path, or take out videos that are at fault"
        )


def _finite_weights(trainer: Trainer) -> bool:
    """Return whether the weights are finite in all processes."""
    parameters = trainer.lightning_module.net.parameters()
    finite = torch.tensor(all(parameter.isfinite().all() for parameter in parameters), dtype=torch.int32)
    return bool(trainer.strategy.reduce(finite.to(trainer.strategy.root_device), reduce_op="min"))


def refuse_short_clips(net: nn.Module) -> None:
    """From now on a forward pass of `net` raises a ValueError where a convolution spans more frames than it is given.

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
