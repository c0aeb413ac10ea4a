"""Statistics of batch norms: precise ones, and the same in all processes.

Precise: over many batches with the weights at rest, in place of running averages.
"""

from collections.abc import Iterable

from fvcore.nn.precise_bn import get_bn_modules, update_bn_stats
from lightning import Trainer
from torch import Tensor, distributed, nn


def update_statistics(net: nn.Module, videos: Iterable[Tensor], num_batches: int, trainer: Trainer) -> None:
    """Set means and variances to those over `num_batches` batches of `videos`, float [B, C, T, H, W].

    With several processes, each takes as many batches of its own, and the statistics are of all of them.
    """
    was_training = net.training
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
    net.train(was_training)


def share_statistics(net: nn.Module) -> None:
    """Give all processes the statistics of the first, whose weights checkpoints hold. A collective call."""
    for buffer in net.buffers():
        distributed.broadcast(buffer, src=0)
