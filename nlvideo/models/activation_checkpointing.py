"""Activation checkpointing (Chen et al. 2016): residual blocks computed again in the backward pass."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from nlvideo.models.backbone import Backbone
from nlvideo.models.compile import regions

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def activation_checkpoint_stages(net: Backbone, stages: Sequence[str]) -> None:
    """Keep only the input of each residual block of these stages, and compute the block again in the backward pass.

    Gradients, random numbers and the statistics of batch norms stay the same. Call `compile_blocks` first.

    Args:
        net: changed in place.
        stages: names from ``net.stages()``; res2 and res3 have the largest maps.

    Raises:
        ValueError: `net` has no such stage.
    """
    names = net.stages()
    for name in stages:
        if name not in names:
            raise ValueError(f"activation_checkpoint_stages: no stage {name!r}; expected some of {', '.join(names)}")
        for module in regions(net, name):
            module.forward = partial(_forward, module, module.forward)


def _forward(module: nn.Module, forward: Callable[..., Any], *args: Any) -> Any:
    if not module.training:
        return forward(*args)

    def run(*args: Any) -> Any:
        # Networks of several pathways may write into the list that they are given.
        return forward(*(list(arg) if isinstance(arg, list) else arg for arg in args))

    return checkpoint(run, *args, use_reentrant=False, context_fn=lambda: (nullcontext(), _separate_statistics(module)))


@contextmanager
def _separate_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch norms update copies of their statistics: a second forward pass must not count the same clips twice."""
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm) and norm.track_running_stats]
    kept = [{name: getattr(norm, name) for name in STATISTICS} for norm in norms]
    for norm, statistics in zip(norms, kept, strict=True):
        for name, statistic in statistics.items():
            setattr(norm, name, statistic.clone())
    try:
        yield
    finally:
        for norm, statistics in zip(norms, kept, strict=True):
            for name, statistic in statistics.items():
                setattr(norm, name, statistic)
