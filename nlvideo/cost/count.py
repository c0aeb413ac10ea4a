"""What a network costs, before it is trained: parameters, multiply-adds, memory. Counted on meta tensors.

Letters: N query positions, M key positions, E channels of the values.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverloadPacket
from torch.utils.flop_counter import FlopCounterMode

from nlvideo import ops
from nlvideo.blocks import Block

# Norms are counted apart; the counter would take each to pieces to see what it multiplies: most of its time.
NORM_FLOPS = {torch.ops.aten._native_batch_norm_legit_no_training: lambda *shapes, **options: 0}

Clip = tuple[int, int, int]  # T, H, W
Stages = dict[str, nn.Module]

ATTENTION = ("softmax_attention", "dot_product_attention", "concatenation_attention")


@dataclass(frozen=True)
class Cost:
    """Of one clip.

    Attributes:
        params: trained numbers.
        macs: multiply-adds ("FLOPs" in the papers) of convolutions, linear layers and matrix products, those of
            attention in the papers' form, with the N x M matrix.
        norm_macs: two for each output of a batch norm, as fvcore counts; some published counts include them.
        computed_macs: as `macs`, in the form in which `nlvideo.ops` computes attention.
    """

    params: int
    macs: int
    norm_macs: int
    computed_macs: int

    @property
    def gmacs(self) -> float:
        """Billions, as fvcore counts: with the norms."""
        return (self.macs + self.norm_macs) / 1e9

    @property
    def computed_gmacs(self) -> float:
        return (self.computed_macs + self.norm_macs) / 1e9


@dataclass(frozen=True)
class Memory:
    """Bytes that the forward pass of a training step keeps for the backward pass, in float32: of a whole batch.

    Attributes:
        computed: with attention as `nlvideo.ops` computes it.
        explicit: with the N x M matrix.
    """

    computed: int
    explicit: int


@dataclass(frozen=True)
class StageCost:
    """One stage of a network, or the sum of all.

    Attributes:
        name: of the stage.
        output: T, H, W; empty where the stage gives no map.
        blocks: kinds of attention blocks in it, and how many of each.
        cost: of one clip.
        memory: of a batch.
    """

    name: str
    output: tuple[int, ...]
    blocks: Counter[str]
    cost: Cost
    memory: Memory


def count_cost(net: nn.Module, clip: Clip) -> Cost:
    """Counts one forward pass in eval mode of a network built on the device ``meta``.

    Args:
        net: on ``meta``; left in eval mode.
        clip: T, H, W of the input.
    """
    return _costs(net, {"net": net}, clip)["net"]


def count_parts(net: nn.Module, clip: Clip, batch: int) -> list[StageCost]:
    """Counts each of ``net.stages()``: costs of a clip, memory of a training step of `batch` clips.

    The network is on ``meta``, and left in training mode.
    """
    stages = net.stages()
    outputs: dict[str, tuple[int, ...]] = {}

    def remember(name: str, module: nn.Module, args: tuple, output: Tensor) -> None:
        outputs[name] = tuple(output.shape[2:])

    with ExitStack() as hooks:
        for name, stage in stages.items():
            hooks.enter_context(stage.register_forward_hook(partial(remember, name)))
        costs = _costs(net, stages, clip)
    memories = _memories(net, stages, clip, batch)
    return [
        StageCost(name, outputs[name], count_blocks(stage), costs[name], memories[name])
        for name, stage in stages.items()
    ]


def total(name: str, parts: Sequence[StageCost]) -> StageCost:
    """The sum of parts, without an output."""
    blocks = sum((part.blocks for part in parts), Counter())
    cost = [sum(numbers) for numbers in zip(*(astuple(part.cost) for part in parts), strict=True)]
    memory = [sum(numbers) for numbers in zip(*(astuple(part.memory) for part in parts), strict=True)]
    return StageCost(name, (), blocks, Cost(*cost), Memory(*memory))


def count_blocks(module: nn.Module) -> Counter[str]:
    """Attention blocks by kind, without those inside of another block."""
    counts = Counter()
    for child in module.children():
        counts += Counter([type(child).__name__]) if isinstance(child, Block) else count_blocks(child)
    return counts


@contextmanager
def explicit_attention() -> Iterator[None]:
    """Within it, blocks fill the N x M matrix as the papers do, so that its products are there to be counted."""
    fast = {name: getattr(ops, name) for name in ATTENTION}
    for name in ATTENTION:
        setattr(ops, name, getattr(ops.reference, name))
    try:
        yield
    finally:
        for name in ATTENTION:
            setattr(ops, name, fast[name])


def _costs(net: nn.Module, stages: Stages, clip: Clip) -> dict[str, Cost]:
    net.eval()
    video = torch.empty(1, 3, *clip, device="meta")
    with (
        torch.no_grad(),
        explicit_attention(),
        FlopCounterMode(display=False, custom_mapping=NORM_FLOPS) as counter,
        _norm_outputs(net) as sizes,
        _added(stages, counter.get_total_flops) as explicit,
        _added(stages, lambda: 2 * sum(sizes)) as norms,
    ):
        net(video)
    with (
        torch.no_grad(),
        FlopCounterMode(display=False, custom_mapping={**NORM_FLOPS, **operator_flops()}) as counter,
        _added(stages, counter.get_total_flops) as computed,
    ):
        net(video)
    return {
        name: Cost(
            params=sum(parameter.numel() for parameter in stage.parameters()),
            macs=explicit[name] // 2,
            norm_macs=norms[name],
            computed_macs=computed[name] // 2,
        )
        for name, stage in stages.items()
    }


def operator_flops() -> dict[OpOverloadPacket, Callable]:
    """What our own operators compute, which the counter cannot see into: two for a multiply-add."""

    def softmax(query: torch.Size, key: torch.Size, value: torch.Size, scale: float, out_shape: torch.Size) -> int:
        (b, n, d), (_, m, e) = query, value
        return 2 * b * n * m * (d + e)

    def concatenation(query: torch.Size, key: torch.Size, value: torch.Size, out_shape: torch.Size) -> int:
        (b, n), (_, m, e) = query, value
        return 2 * b * 3 * (n + m) * e

    return {
        torch.ops.nlvideo.softmax_attention: softmax,
        torch.ops.nlvideo.concatenation_attention: concatenation,
    }


def _memories(net: nn.Module, stages: Stages, clip: Clip, batch: int) -> dict[str, Memory]:
    net.train()
    computed = _kept_bytes(net, stages, clip, batch)
    with explicit_attention():
        explicit = _kept_bytes(net, stages, clip, batch)
    return {name: Memory(computed[name], explicit[name]) for name in stages}


def _kept_bytes(net: nn.Module, stages: Stages, clip: Clip, batch: int) -> dict[str, int]:
    """What autograd keeps, each memory once, however many operations keep a view of it."""
    own = {_identity(tensor) for tensor in (*net.parameters(), *net.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        if _identity(tensor) not in own:
            kept[_identity(tensor)] = tensor.untyped_storage()
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        _added(stages, lambda: sum(storage.nbytes() for storage in kept.values())) as added,
    ):
        net(torch.empty(batch, 3, *clip, device="meta"))
    return added


def _identity(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata  # tensors on meta have no address


@contextmanager
def _norm_outputs(net: nn.Module) -> Iterator[list[int]]:
    sizes: list[int] = []
    with ExitStack() as hooks:
        for module in net.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                hooks.enter_context(module.register_forward_hook(lambda _, args, output: sizes.append(output.numel())))
        yield sizes


@contextmanager
def _added(stages: Stages, total: Callable[[], int]) -> Iterator[dict[str, int]]:
    """By how much each stage raises a running total, while the network runs within the context."""
    added: dict[str, int] = {}

    def enter(name: str, *_: Any) -> None:
        added[name] = -total()

    def leave(name: str, *_: Any) -> None:
        added[name] += total()

    with ExitStack() as hooks:
        for name, stage in stages.items():
            hooks.enter_context(stage.register_forward_pre_hook(partial(enter, name)))
            hooks.enter_context(stage.register_forward_hook(partial(leave, name)))
        yield added
