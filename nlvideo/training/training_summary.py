"""Summary of a training before its first step: what the optimizer really uses, read from it."""

import torch
from lightning import LightningModule, Trainer
from rich.table import Table


def training_summary(trainer: Trainer, task: LightningModule) -> Table:
    """Return a table with a row for each group of parameters, frozen ones last.

    Below it: the batch of a step, the base learning rate and the precision.
    """
    (optimizer,) = trainer.optimizers
    table = Table("parameters", "tensors", "numbers", "weight decay", "base lr", "lr now")
    table.title = f"{_optimizer(optimizer)}, {_schedule(task)}, {trainer.estimated_stepping_batches:,} steps"
    for group in optimizer.param_groups:
        numbers = sum(parameter.numel() for parameter in group["params"])
        settings = (f"{group[name]:g}" for name in ("weight_decay", "initial_lr", "lr"))
        table.add_row(group["name"], f"{len(group['params'])}", f"{numbers:,}", *settings)
    if frozen := [parameter for parameter in task.parameters() if not parameter.requires_grad]:
        table.add_row("frozen", f"{len(frozen)}", f"{sum(parameter.numel() for parameter in frozen):,}")
    table.caption = f"{_batch(trainer, task)}; {_rate(task)}; {_precision(trainer)}"
    table.caption_justify = "left"
    return table


def _optimizer(optimizer: torch.optim.Optimizer) -> str:
    group, name = optimizer.param_groups[0], type(optimizer).__name__
    if "momentum" in group:
        nesterov = ", Nesterov" if group["nesterov"] else ""
        return f"{name} with momentum {group['momentum']:g}{nesterov}"
    return name


def _precision(trainer: Trainer) -> str:
    matmuls = torch.get_float32_matmul_precision()
    on_gpu = f", float32 matrix products {matmuls}" if trainer.strategy.root_device.type == "cuda" else ""
    return f"precision {trainer.precision}{on_gpu}"


def _schedule(task: LightningModule) -> str:
    schedule = task.schedule
    down = f" x{schedule.factor:g} at {', '.join(f'{each:,g}' for each in schedule.milestones)}"
    warmup = f", warm-up {schedule.warmup:g}" if schedule.warmup else ""
    unit = f" {schedule.unit}" if warmup or schedule.milestones else ""
    name = "cosine from the start" if schedule.name == "cosine" and not schedule.cosine_after_warmup else schedule.name
    return f"{name}{down if schedule.milestones else ''}{warmup}{unit}"


def _batch(trainer: Trainer, task: LightningModule) -> str:
    devices = trainer.world_size // trainer.num_nodes
    return (
        f"a step sees {task.step_clips} clips: {trainer.datamodule.batch_size} x {devices} devices x "
        f"{trainer.num_nodes} nodes x {trainer.accumulate_grad_batches} accumulated"
    )


def _rate(task: LightningModule) -> str:
    optimizer = task.optimizer
    if optimizer.base_batch is None:
        return f"lr {optimizer.lr:g}, whatever the batch"
    scaled = optimizer.scaled_lr(task.step_clips)
    return f"lr {optimizer.lr:g} x {task.step_clips} / {optimizer.base_batch} = {scaled:g}"
