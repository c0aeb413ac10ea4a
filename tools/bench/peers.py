"""Non-local attention by several implementations: operations on given tensors, and whole blocks. None is an import
error: a peer that is not installed fails when it is built.

Shapes: B clips, N query positions, M key positions, D channels.
"""

from collections.abc import Callable
from functools import partial

import torch
from pytorchvideo.layers.nonlocal_net import NonLocal as PytorchvideoNonLocal
from pytorchvideo.layers.nonlocal_net import create_nonlocal
from torch import Tensor, nn

from nlvideo import ops
from nlvideo.blocks import NonLocal

OPERATIONS = ("softmax", "dot_product", "concatenation")
INSTANTIATION = {"embedded_gaussian": "softmax", "dot_product": "dot_product"}  # pytorchvideo's and SlowFast's names


def operations(name: str, d: int) -> dict[str, Callable[..., Tensor]]:
    """Return the operation `name` on query, key and value by each implementation that has it."""
    scale = {"scale": d**-0.5} if name == "softmax" else {}
    found = {
        "explicit": partial(getattr(ops.reference, f"{name}_attention"), **scale),
        "nlvideo": partial(getattr(ops, f"{name}_attention"), **scale),
    }
    if name != "concatenation":
        found["pytorchvideo"] = partial(_pytorchvideo, name)
    return found


def inputs(name: str, n: int, m: int, d: int, device: str, dtype: torch.dtype) -> list[Tensor]:
    """Return query, key and value of one clip as a block in the default layout has them: channels first in memory."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, d, positions, generator=generator).mT for positions in (n, m, m))  # (B, P, D)
    if name == "concatenation":
        query, key = query[..., 0], key[..., 0]  # (B, N), (B, M)
    return [t.to(device, dtype).requires_grad_() for t in (query, key, value)]


def blocks(pairwise: str, channels: int) -> dict[str, Callable[[], nn.Module]]:
    """Return constructors of the whole block, keys subsampled, by each implementation that has the function."""
    found = {"nlvideo": partial(NonLocal, channels, pairwise=pairwise)}
    if pairwise in INSTANTIATION:
        options = {"pool_size": (1, 2, 2), "instantiation": INSTANTIATION[pairwise]}
        found["pytorchvideo"] = partial(create_nonlocal, dim_in=channels, dim_inner=channels // 2, **options)
        found["SlowFast"] = partial(_slowfast, channels, **options)
    return {**found, "mmcv": partial(_mmcv, channels, pairwise)}


def _slowfast(channels: int, **options) -> nn.Module:
    from slowfast.models.nonlocal_helper import Nonlocal

    return Nonlocal(channels, channels // 2, **options)


def _mmcv(channels: int, pairwise: str) -> nn.Module:
    from mmcv.cnn import NonLocal3d

    return NonLocal3d(channels, sub_sample=True, mode=pairwise)


def _pytorchvideo(name: str, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Run its block's forward pass with the convolutions' results given: only the attention is left."""
    given = [_Given(t.mT) for t in (query, key, value)]  # (B, D, P)
    block = PytorchvideoNonLocal(
        conv_theta=given[0],
        conv_phi=given[1],
        conv_g=given[2],
        conv_out=_Given(value.mT, result=False),
        instantiation=name,
    )
    shortcut = query.new_zeros(()).expand(query.shape[0], query.shape[2], 1, 1, query.shape[1])
    return block(shortcut).flatten(2).mT  # (B, N, D)


class _Given(nn.Module):
    """Stands for a convolution whose result is known, or for none at all."""

    def __init__(self, tensor: Tensor, result: bool = True):
        super().__init__()
        self.in_channels = self.out_channels = tensor.shape[1]
        self.tensor = tensor if result else None

    def forward(self, x: Tensor) -> Tensor:
        return x if self.tensor is None else self.tensor
