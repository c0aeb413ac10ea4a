"""Batch norms over the batches of all processes on CPUs, where torch's SyncBatchNorm has no kernels.

Shapes: B clips of a process's batch, C channels.
"""

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce


class CPUSyncBatchNorm3d(nn.BatchNorm3d):
    """What torch.nn.SyncBatchNorm computes, for batches of the same size in every process."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C, T, H, W)."""
        if not self.training:
            return super().forward(x)
        num_ranks, dims = distributed.get_world_size(), (0, 2, 3, 4)
        mean = all_reduce(x.mean(dims, keepdim=True)) / num_ranks  # (1, C, 1, 1, 1), of all processes
        var = all_reduce((x - mean).square().mean(dims, keepdim=True)) / num_ranks
        with torch.no_grad():
            self.num_batches_tracked += 1
            count = num_ranks * x.numel() / x.shape[1]
            self.running_mean.lerp_(mean.flatten(), self.momentum)
            self.running_var.lerp_(var.flatten() * count / (count - 1), self.momentum)
        shape = (1, -1, 1, 1, 1)
        return (x - mean) * torch.rsqrt(var + self.eps) * self.weight.view(shape) + self.bias.view(shape)


def convert_batch_norms(net: nn.Module) -> None:
    """Synchronise the batch norms of a network, in place."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.__class__ = CPUSyncBatchNorm3d
