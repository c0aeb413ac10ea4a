"""Statistics of batch norms over many batches with the weights at rest, in the place of running averages."""

from collections.abc import Iterable

from fvcore.nn.precise_bn import get_bn_modules, update_bn_stats
from lightning import Trainer
from torch import Tensor, nn


def ends_training(trainer: Trainer) -> bool:
    """Whether a validation is the last of a fit: after it the checkpoints are written."""
    if trainer.state.fn != "fit" or trainer.sanity_checking or not trainer.is_last_batch:
        return False
    last_epoch = trainer.current_epoch + 1 == trainer.max_epochs
    return last_epoch or trainer.global_step == trainer.max_steps or trainer.should_stop


def update_statistics(net: nn.Module, videos: Iterable[Tensor], num_batches: int, trainer: Trainer) -> None:
    """Means and variances over `num_batches` batches of `videos`, float [B, C, T, H, W]; `net` is left in eval mode.
    With several processes, each takes its own batches and the results are averaged."""
    net.train()
    norms = get_bn_modules(net)
    with trainer.precision_plugin.forward_context():
        update_bn_stats(net, videos, num_batches)
    for norm in norms:
        for statistic in (norm.running_mean, norm.running_var):
            statistic.copy_(trainer.strategy.reduce(statistic.clone(), reduce_op="mean"))
    net.eval()
