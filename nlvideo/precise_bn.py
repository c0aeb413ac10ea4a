"""Statistics of batch norms over many batches with the weights at rest, in the place of running averages."""

import itertools

from fvcore.nn.precise_bn import get_bn_modules, update_bn_stats
from lightning import LightningModule, Trainer
from torch.utils.data import DataLoader


def ends_training(trainer: Trainer) -> bool:
    """Whether a validation is the last of a fit: after it the checkpoints are written."""
    if trainer.state.fn != "fit" or trainer.sanity_checking or not trainer.is_last_batch:
        return False
    last_epoch = trainer.current_epoch + 1 == trainer.max_epochs
    return last_epoch or trainer.global_step == trainer.max_steps or trainer.should_stop


def update_statistics(task: LightningModule, loader: DataLoader, num_batches: int) -> None:
    """Means and variances over `num_batches` batches of `loader`, or all where it has fewer. With several processes,
    each takes its own batches and the results are averaged."""
    num_batches = min(num_batches, len(loader))
    task.train()
    norms = get_bn_modules(task)
    videos = (clips.video.to(task.device) for clips in itertools.islice(loader, num_batches))
    with task.trainer.precision_plugin.forward_context():
        update_bn_stats(task, videos, num_batches)
    for norm in norms:
        for statistic in (norm.running_mean, norm.running_var):
            statistic.copy_(task.trainer.strategy.reduce(statistic.clone(), reduce_op="mean"))
    task.eval()
