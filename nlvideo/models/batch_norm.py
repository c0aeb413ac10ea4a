"""Batch norms with fixed statistics, as they are or written as the affine map that they are."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nlvideo.blocks.frozen_affine import FrozenAffine


def fold_batch_norm(
    weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """s (x - mean) / sqrt(var + eps) + b = s' x + b', by channel: s' = s / sqrt(var + eps), b' = b - mean s'."""
    scale = weight / torch.sqrt(var + eps)
    return scale, bias - mean * scale


def freeze_batch_norms(net: nn.Module) -> None:
    """Puts a `FrozenAffine` with the output that it has in eval mode in the place of each batch norm. Names stay."""
    for module in list(net.modules()):
        for name, norm in module.named_children():
            if isinstance(norm, nn.BatchNorm3d):
                affine = FrozenAffine(norm.num_features).to(norm.weight.device)
                with torch.no_grad():
                    folded = fold_batch_norm(norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.eps)
                affine.load_state_dict(dict(zip(("weight", "bias"), folded, strict=True)))
                setattr(module, name, affine)


def freeze_statistics(net: nn.Module) -> None:
    """Batch norms normalise with their running statistics and leave them as they are, until `net.train()` is called."""
    for module in net.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


def frozen_at_zero(net: nn.Module) -> list[str]:
    """Names of the frozen norms that let nothing through, so that what stands before them never learns."""
    return [name for name, m in net.named_modules() if isinstance(m, FrozenAffine) and not m.weight.any()]
