"""Batch norms over the batches of all processes: ``--trainer.sync_batchnorm true``.

torch's SyncBatchNorm has kernels for GPUs alone. On CPUs ours computes the same in plain torch, so that several
processes train as one does there too.

Letters: B clips of a process's batch, C channels.
"""

import torch
from lightning import LightningModule
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.plugins.layer_sync import TorchSyncBatchNorm
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce


class SyncBatchNorm3d(nn.BatchNorm3d):
    """All processes have batches of the same size."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] -> the same shape."""
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


class SyncNorms(TorchSyncBatchNorm):
    """Lightning's plugin, which puts torch's norms into a model, or ours where it is trained on CPUs."""

    def apply(self, model: LightningModule) -> LightningModule:
        if not isinstance(model.trainer.accelerator, CPUAccelerator):
            return super().apply(model)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.__class__ = SyncBatchNorm3d
        return model

    def revert(self, model: LightningModule) -> LightningModule:
        for module in model.modules():
            if isinstance(module, SyncBatchNorm3d):
                module.__class__ = nn.BatchNorm3d
        return super().revert(model)
