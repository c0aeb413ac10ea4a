"""A network as it runs fastest when nothing is trained any more."""

import copy
from collections.abc import Iterator
from itertools import pairwise

import torch
from pytorchvideo.models.resnet import BottleneckBlock
from pytorchvideo.models.stem import ResNetBasicStem
from torch import nn

from nlvideo.blocks import DualAttention, NonLocal
from nlvideo.blocks.frozen_affine import FrozenAffine
from nlvideo.models.batch_norm import freeze_batch_norms
from nlvideo.models.head import Classifier
from nlvideo.models.residual import BasicBranch, ResidualBlock

# Modules in which the second child takes the output of the first and nothing else does.
PAIRS = {
    ResNetBasicStem: [("conv", "norm")],
    BottleneckBlock: [("conv_a", "norm_a"), ("conv_b", "norm_b"), ("conv_c", "norm_c")],
    BasicBranch: [("conv_a", "norm_a"), ("conv_b", "norm_b")],
    ResidualBlock: [("branch1_conv", "branch1_norm")],
    NonLocal: [("conv_out", "norm")],
    DualAttention: [("conv_out", "norm")],
}


def inference_copy(net: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """The same function in eval mode, up to rounding: each batch norm folded into the convolution before it, channels
    last in memory, weights in `dtype`, those of `Classifier` layers in their own. `net` stays as it is.

    Norms of modules that this file does not know keep their place; they only cost more.
    """
    fast = copy.deepcopy(net).eval().requires_grad_(False)
    fold_norms(fast)
    classifiers = {name: copy.deepcopy(each) for name, each in fast.named_modules() if isinstance(each, Classifier)}
    fast.to(dtype=dtype, memory_format=torch.channels_last_3d)
    for name, classifier in classifiers.items():
        fast.set_submodule(name, classifier)
    return fast


def fold_norms(net: nn.Module) -> None:
    """In place: w' = s' w and b' = s' b + t for a convolution (w, b) and the norm s' x + t behind it."""
    freeze_batch_norms(net)
    for module in list(net.modules()):
        for conv_name, norm_name in _pairs(module):
            conv, norm = getattr(module, conv_name), getattr(module, norm_name)
            if isinstance(conv, nn.Conv3d) and isinstance(norm, FrozenAffine):
                bias = norm.bias if conv.bias is None else norm.weight * conv.bias + norm.bias
                conv.weight.data.mul_(norm.weight[:, None, None, None, None])
                conv.bias = nn.Parameter(bias.clone(), requires_grad=False)
                setattr(module, norm_name, nn.Identity())


def _pairs(module: nn.Module) -> Iterator[tuple[str, str]]:
    if type(module) is nn.Sequential:
        names = [name for name, _ in module.named_children()]
        yield from pairwise(names)
    yield from PAIRS.get(type(module), [])
