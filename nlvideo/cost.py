"""What a network costs, before it is trained: parameters and multiply-adds, counted on meta tensors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nlvideo import ops


@dataclass(frozen=True)
class Cost:
    """Of one clip.

    Attributes:
        params: trained numbers.
        macs: multiply-adds ("FLOPs" in the papers) of convolutions, linear layers and matrix products, those of
            attention in the papers' form, with the N x M matrix.
        norm_macs: two for each output of a batch norm, as fvcore counts; some published counts include them.
    """

    params: int
    macs: int
    norm_macs: int


def count_cost(net: nn.Module, clip: tuple[int, int, int]) -> Cost:
    """Counts one forward pass in eval mode of a network built on the device ``meta``.

    Args:
        net: on ``meta``; left in eval mode.
        clip: T, H, W of the input.
    """
    outputs = []
    hooks = [
        module.register_forward_hook(lambda module, args, output: outputs.append(output.numel()))
        for module in net.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
    with torch.no_grad(), explicit_attention(), FlopCounterMode(display=False) as counter:
        net.eval()(torch.empty(1, 3, *clip, device="meta"))
    for hook in hooks:
        hook.remove()
    return Cost(
        params=sum(parameter.numel() for parameter in net.parameters()),
        macs=counter.get_total_flops() // 2,
        norm_macs=2 * sum(outputs),
    )


@contextmanager
def explicit_attention() -> Iterator[None]:
    """Within it, blocks fill the N x M matrix as the papers do, so that its products are there to be counted."""
    names = ("softmax_attention", "dot_product_attention", "concatenation_attention")
    fast = {name: getattr(ops, name) for name in names}
    for name in names:
        setattr(ops, name, getattr(ops.reference, name))
    try:
        yield
    finally:
        for name in names:
            setattr(ops, name, fast[name])
