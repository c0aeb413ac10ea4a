"""The same attention by three implementations: the paper's equation, pytorchvideo's block, and ours.

B = 1 clip, N query positions, M key positions, D channels.
"""

from collections.abc import Callable
from functools import partial

import torch
from pytorchvideo.layers.nonlocal_net import NonLocal
from torch import Tensor, nn

from nlvideo import ops
from nlvideo.ops import reference

PAIRWISE = ("softmax", "dot_product", "concatenation")
NAMES = ("explicit", "pytorchvideo", "ours")
Form = Callable[[Tensor, Tensor, Tensor], Tensor]


def forms(pairwise: str, d: int) -> dict[str, Form]:
    """By name, where there is one: pytorchvideo has no concatenation."""
    function = f"{pairwise}_attention"
    scale = {"scale": d**-0.5} if pairwise == "softmax" else {}
    found = {
        "explicit": partial(getattr(reference, function), **scale),
        "ours": partial(getattr(ops, function), **scale),
    }
    if pairwise != "concatenation":
        found["pytorchvideo"] = partial(_pytorchvideo, pairwise)
    return found


def inputs(pairwise: str, n: int, m: int, d: int, device: str, dtype: torch.dtype) -> list[Tensor]:
    """As a block passes them: convolutions leave channels before positions."""
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(1, d, positions, generator=generator) for positions in (n, m, m)]  # (B, D, N or M)
    if pairwise == "concatenation":
        tensors = [tensors[0][:, 0], tensors[1][:, 0], tensors[2].transpose(1, 2)]  # (B, N), (B, M), (B, M, D)
    else:
        tensors = [t.transpose(1, 2) for t in tensors]  # (B, N, D), (B, M, D), (B, M, D)
    return [t.to(device, dtype).requires_grad_() for t in tensors]


def forward(form: Form, tensors: list[Tensor]) -> Callable[[], object]:
    return torch.no_grad()(lambda: form(*tensors))


def train(form: Form, tensors: list[Tensor]) -> Callable[[], object]:
    """Forward and backward."""
    direction = torch.ones_like(form(*(t.detach() for t in tensors)))
    return lambda: torch.autograd.grad(form(*tensors), tensors, direction)


def _pytorchvideo(pairwise: str, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Its block's forward pass with the convolutions' results given: only the attention is left."""
    given = [_Given(t.transpose(1, 2)) for t in (query, key, value)]  # (B, D, N or M)
    block = NonLocal(
        conv_theta=given[0],
        conv_phi=given[1],
        conv_g=given[2],
        conv_out=_Given(value.transpose(1, 2), result=False),
        instantiation=pairwise,
    )
    shortcut = query.new_zeros(()).expand(query.shape[0], query.shape[2], 1, 1, query.shape[1])
    return block(shortcut).flatten(2).transpose(1, 2)  # (B, N, D)


class _Given(nn.Module):
    """Stands for a convolution whose result is known, or for none at all."""

    def __init__(self, tensor: Tensor, result: bool = True):
        super().__init__()
        self.in_channels = self.out_channels = tensor.shape[1]
        self.tensor = tensor if result else None

    def forward(self, x: Tensor) -> Tensor:
        return x if self.tensor is None else self.tensor
