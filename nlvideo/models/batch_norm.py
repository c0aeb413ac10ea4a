"""Frozen batch norms: with fixed statistics, or as the affine map that they are in eval mode."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nlvideo.blocks.frozen_affine import FrozenAffine


def fold_batch_norm(
    weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """Return scale and shift of a batch norm in eval mode, by channel.

    s (x - mean) / sqrt(var + eps) + b = s' x + b', where s' = s / sqrt(var + eps) and b' = b - mean s'.
    """
    scale = weight / torch.sqrt(var + eps)
    return scale, bias - mean * scale


def freeze_batch_norms(net: nn.Module) -> None:
    """Replace each batch norm by a `FrozenAffine` with its output in eval mode, in place. Names stay."""
    for module in list(net.modules()):
        for name, norm in module.named_children():
            if isinstance(norm, nn.BatchNorm3d):
                affine = FrozenAffine(norm.num_features).to(norm.weight.device)
                with torch.no_grad():
                    folded = fold_batch_norm(norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.eps)
                affine.load_state_dict(dict(zip(("weight", "bias"), folded, strict=True)))
                module.set_submodule(name, affine)


def freeze_statistics(net: nn.Module) -> None:
    """Make batch norms use their running statistics and keep them, until `net.train()` is called."""
    for module in net.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


def frozen_at_zero(net: nn.Module) -> list[str]:
    """Return the names of frozen norms whose scale is 0: what is before them never learns."""
    return [name for name, m in net.named_modules() if isinstance(m, FrozenAffine) and not m.weight.any()]
