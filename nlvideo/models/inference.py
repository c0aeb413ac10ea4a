"""Inference copies: networks with batch norms folded, channels last, in the dtype of evaluation."""

import copy
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import nn

from nlvideo.blocks import Block
from nlvideo.blocks.frozen_affine import FrozenAffine
from nlvideo.models.backbone import Backbone
from nlvideo.models.batch_norm import freeze_batch_norms
from nlvideo.models.head import Classifier


def inference_copy(net: Backbone, dtype: torch.dtype = torch.float32) -> Backbone:
    """Return a copy of a network that computes the same in eval mode, up to rounding, and faster.

    Batch norms are folded into the convolutions before them (see `Backbone.conv_norm_pairs`), the memory format is
    channels last, weights are `dtype`. `Classifier` layers keep their own. `net` is not changed.
    """
    fast = copy.deepcopy(net).eval().requires_grad_(False)
    fold_norms(fast)
    classifiers = {name: copy.deepcopy(each) for name, each in fast.named_modules() if isinstance(each, Classifier)}
    fast.to(dtype=dtype, memory_format=torch.channels_last_3d)
    for name, classifier in classifiers.items():
        fast.set_submodule(name, classifier)
    return fast


def fold_norms(net: Backbone) -> None:
    """Fold batch norms into convolutions, in place.

    A convolution w * x + b and a norm s y + t behind it become (s w) * x + (s b + t).
    """
    freeze_batch_norms(net)
    for module, conv_name, norm_name in list(_conv_norm_pairs(net)):
        children = dict(module.named_children())  # a shortcut may have neither
        conv, norm = children.get(conv_name), children.get(norm_name)
        # A block inserted after the convolution takes its output without the norm.
        if isinstance(conv, nn.Conv3d) and isinstance(norm, FrozenAffine) and not list(conv.children()):
            bias = norm.bias if conv.bias is None else norm.weight * conv.bias + norm.bias
            conv.weight.data.mul_(norm.weight[:, None, None, None, None])
            conv.bias = nn.Parameter(bias.clone(), requires_grad=False)
            module.set_submodule(norm_name, nn.Identity())


def _conv_norm_pairs(net: Backbone) -> Iterator[tuple[nn.Module, str, str]]:
    of_net = net.conv_norm_pairs()
    for module in net.modules():
        if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
            pairs = pairwise(name for name, _ in module.named_children())
        elif isinstance(module, Block):
            pairs = module.conv_norm_pairs
        else:
            pairs = of_net.get(type(module), ())
        for conv_name, norm_name in pairs:
            yield module, conv_name, norm_name
