"""Non-local attention by several implementations: operations on given tensors, whole blocks and networks. None is an
import error: a peer that is not installed fails when it is built.

Shapes: B clips, N query positions, M key positions, D channels.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from pytorchvideo.layers.nonlocal_net import NonLocal as PytorchvideoNonLocal
from pytorchvideo.layers.nonlocal_net import create_nonlocal
from pytorchvideo.models.resnet import create_resnet
from torch import Tensor, nn

from nlvideo import ops
from nlvideo.blocks import Block, NonLocal
from nlvideo.models import resolve_placement
from nlvideo.models.resnet3d import DEPTHS

OPERATIONS = ("softmax", "dot_product", "concatenation")
ALTERNATING = [(3, 1, 1), (1, 1, 1)]
KERNELS = {"c2d": [[(1, 1, 1)]] * 4, "i3d": [[(3, 1, 1)], ALTERNATING, ALTERNATING, ALTERNATING[::-1]]}
INSTANTIATION = {"embedded_gaussian": "softmax", "dot_product": "dot_product"}  # pytorchvideo's and SlowFast's names


class Pytorchvideo(Block):
    """pytorchvideo's embedded gaussian as one of our blocks."""

    def __init__(self, channels: int, *, subsample: bool = False):
        super().__init__(channels)
        pool = (1, 2, 2) if subsample else (1, 1, 1)
        self.block = create_nonlocal(dim_in=channels, dim_inner=channels // 2, pool_size=pool)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


def operations(name: str, d: int) -> dict[str, Callable[..., Tensor]]:
    """Return the operation `name` on query, key and value by each implementation that has it."""
    scale = {"scale": d**-0.5} if name == "softmax" else {}
    found = {
        "explicit": partial(getattr(ops.reference, f"{name}_attention"), **scale),
        "nlvideo": partial(getattr(ops, f"{name}_attention"), **scale),
    }
    if name != "concatenation":
        found["pytorchvideo"] = partial(_pytorchvideo, name)
    if name == "softmax":
        found["SDPA"] = partial(_scaled_dot_product, **scale)
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


def resnet(
    arch: str,
    depth: int,
    at: str,
    *,
    pairwise: str,
    subsample: bool,
    temporal_stride: int,
    frames: int,
    size: int,
) -> nn.Module:
    """Return pytorchvideo's C2D or I3D; its non-local blocks stand where ours would."""
    halve = 2 if temporal_stride == 4 else 1
    side = math.ceil(size / 32)  # of the last map
    net = create_resnet(
        model_depth=depth,
        model_num_class=400,
        stem_conv_kernel_size=(1 if arch == "c2d" else 5, 7, 7),
        stem_conv_stride=(halve, 2, 2),
        stem_pool_stride=(halve, 2, 2),
        stage1_pool=nn.MaxPool3d,
        stage_conv_a_kernel_size=tuple(map(tuple, KERNELS[arch])),
        head_pool_kernel_size=(frames // temporal_stride // 2, side, side),
    )
    kind = {"instantiation": INSTANTIATION[pairwise], "pool_size": (1, 2, 2) if subsample else (1, 1, 1)}
    number = {"res2": 1, "res3": 3, "res4": 4, "res5": 5}
    for stage, indices in resolve_placement(at, DEPTHS[depth]).items():
        residual = net.blocks[number[stage]].res_blocks
        for i in indices:
            channels = residual[i].branch2.conv_c.out_channels
            residual[i] = nn.Sequential(residual[i], create_nonlocal(dim_in=channels, dim_inner=channels // 2, **kind))
    return net


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


def _scaled_dot_product(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """PyTorch's own choice among its kernels, one head."""
    query, key, value = (t.contiguous()[:, None] for t in (query, key, value))  # (B, 1, N or M, D)
    return nn.functional.scaled_dot_product_attention(query, key, value, scale=scale)[:, 0]  # (B, N, D)


class _Given(nn.Module):
    """Stands for a convolution whose result is known, or for none at all."""

    def __init__(self, tensor: Tensor, result: bool = True):
        super().__init__()
        self.in_channels = self.out_channels = tensor.shape[1]
        self.tensor = tensor if result else None

    def forward(self, x: Tensor) -> Tensor:
        return x if self.tensor is None else self.tensor
