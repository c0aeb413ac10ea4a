"""torch.compile of a network, residual block by residual block. Names of parameters stay."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from nlvideo.models.backbone import Backbone


def compile_blocks(net: Backbone, backend: str = "inductor") -> None:
    """Compile each residual block and each stage without residual blocks, in place.

    Blocks of the same kind and size share their code, so this takes a fraction of the time of the whole network.
    """
    # A network has more kinds of residual blocks, in training and in evaluation, than PyTorch's 8 variants of a
    # function; beyond them it would silently stop compiling.
    torch._dynamo.config.recompile_limit = 64
    for stage in net.stages():
        for module in regions(net, stage):
            module.forward = partial(torch.compile(type(module).forward, backend=backend), module)


def regions(net: Backbone, stage: str) -> Sequence[nn.Module]:
    """Return the residual blocks of a stage, or the stage itself if it has none."""
    return net.residual_blocks().get(stage, [net.stages()[stage]])
