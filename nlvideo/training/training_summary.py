"""How a network is about to be trained, for the terminal."""

from lightning import Trainer
from rich.table import Table

from nlvideo.task import VideoClassifier


def training_summary(trainer: Trainer, task: VideoClassifier) -> Table:
    """A row for each group of parameters, frozen ones last; the batch of a step, and its learning rate."""
    (optimizer,) = trainer.optimizers
    table = Table("parameters", "tensors", "numbers", "weight decay", "lr")
    table.title = f"{task.optimizer.name}, {_schedule(task)}, {trainer.estimated_stepping_batches:,} steps"
    for group in optimizer.param_groups:
        numbers = sum(parameter.numel() for parameter in group["params"])
        decay, rate = f"{group['weight_decay']:g}", f"{group['initial_lr']:g}"
        table.add_row(group["name"], f"{len(group['params'])}", f"{numbers:,}", decay, rate)
    if frozen := [parameter for parameter in task.parameters() if not parameter.requires_grad]:
        table.add_row("frozen", f"{len(frozen)}", f"{sum(parameter.numel() for parameter in frozen):,}", "", "")
    table.caption = f"{_batch(trainer, task)}; {_rate(task)}"
    table.caption_justify = "left"
    return table


def _schedule(task: VideoClassifier) -> str:
    schedule = task.schedule
    down = f" x{schedule.factor:g} at {', '.join(f'{each:,g}' for each in schedule.milestones)}"
    warmup = f", warm-up {schedule.warmup:g}" if schedule.warmup else ""
    unit = f" {schedule.unit}" if warmup or schedule.milestones else ""
    return f"{schedule.name}{down if schedule.milestones else ''}{warmup}{unit}"


def _batch(trainer: Trainer, task: VideoClassifier) -> str:
    devices = trainer.world_size // trainer.num_nodes
    return (
        f"a step sees {task.step_clips} clips: {trainer.datamodule.batch_size} x {devices} devices x "
        f"{trainer.num_nodes} nodes x {trainer.accumulate_grad_batches} accumulated"
    )


def _rate(task: VideoClassifier) -> str:
    optimizer = task.optimizer
    if optimizer.base_batch is None:
        return f"lr {optimizer.lr:g}, whatever the batch"
    scaled = optimizer.scaled_lr(task.step_clips)
    return f"lr {optimizer.lr:g} x {task.step_clips} / {optimizer.base_batch} = {scaled:g}"
