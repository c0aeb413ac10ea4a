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
    With several processes, each takes as many batches of its own, and the statistics are of all of them."""
    net.train()
    norms = get_bn_modules(net)
    with trainer.precision_plugin.forward_context():
        update_bn_stats(net, videos, num_batches)
    for norm in norms:
        # The variance of all is the mean of the variances, and the variance of the means.
        mean = trainer.strategy.reduce(norm.running_mean.clone(), reduce_op="mean")
        var = norm.running_var + (norm.running_mean - mean) ** 2
        norm.running_var.copy_(trainer.strategy.reduce(var, reduce_op="mean"))
        norm.running_mean.copy_(mean)
    net.eval()
