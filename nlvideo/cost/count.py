"""Parameters, multiply-adds and activation memory of a network, counted on the device ``meta``."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nlvideo.models import Backbone
from nlvideo.models.placed_blocks import outermost_blocks
from nlvideo.ops import explicit_forms

# As fvcore counts a batch norm: two multiply-adds for each output. Torch's counter would leave it out.
NORMS = (torch.ops.aten.native_batch_norm, torch.ops.aten._native_batch_norm_legit_no_training)

Clip = tuple[int, int, int]  # T, H, W


@dataclass(frozen=True)
class Cost:
    """Of a network, a stage of it, or a sum of those.

    Attributes:
        params: trained numbers.
        macs: multiply-adds ("FLOPs" in the papers) of one clip: convolutions, linear layers and matrix products, those
            of attention in the papers' form, with the N x M matrix.
        computed_macs: the same with attention as `nlvideo.ops` computes it.
        norm_macs: two for each output of a batch norm, as fvcore counts; some published counts include them.
        kept_bytes: what the forward pass of a training step keeps for the backward pass, in float32, of a whole batch.
        explicit_bytes: the same with the N x M matrix.
    """

    params: int = 0
    macs: int = 0
    computed_macs: int = 0
    norm_macs: int = 0
    kept_bytes: int = 0
    explicit_bytes: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(Cost)))

    @property
    def gmacs(self) -> float:
        """Billions, as fvcore counts: with the norms."""
        return (self.macs + self.norm_macs) / 1e9

    @property
    def computed_gmacs(self) -> float:
        return (self.computed_macs + self.norm_macs) / 1e9


@dataclass(frozen=True)
class StageCost:
    """One stage of a network, or the sum of all.

    Attributes:
        name: of the stage.
        output: T, H, W; empty if the stage gives no map, or several.
        blocks: kinds of attention blocks in it, and how many of each.
        cost: of the stage.
    """

    name: str
    output: tuple[int, ...]
    blocks: Counter[str]
    cost: Cost


def count_cost(net: Backbone, clip: Clip, trained_crop: int | None = None) -> Cost:
    """Count one forward pass in eval mode, without memory.

    Args:
        net: on ``meta``; left in eval mode.
        clip: T, H, W of the input.
        trained_crop: side of the training crop, to count a head that slides over a larger clip; see `Backbone.scores`.
    """
    forward = net if trained_crop is None else partial(net.scores, trained_crop=trained_crop)
    return _count_macs(net, {"net": net}, _video(clip), forward)["net"]


def count_block(block: nn.Module, shape: Sequence[int]) -> Cost:
    """Count one forward pass of a block on meta over a map of C, T, H, W; left in eval mode."""
    return _count_macs(block, {"block": block}, torch.empty(1, *shape, device="meta"), block)["block"]


def count_parts(net: Backbone, clip: Clip, batch: int) -> list[StageCost]:
    """Count each of ``net.stages()``, with the memory of a training step of `batch` clips.

    Args:
        net: on ``meta``; left in training mode.
        clip: T, H, W of the input.
        batch: clips of a training step.
    """
    stages = net.stages()
    outputs: dict[str, tuple[int, ...]] = {}

    def remember(name: str, module: nn.Module, args: tuple, output: Any) -> None:
        outputs[name] = tuple(output.shape[2:]) if isinstance(output, Tensor) else ()

    with ExitStack() as hooks:
        for name, stage in stages.items():
            hooks.enter_context(stage.register_forward_hook(partial(remember, name)))
        costs = _count_macs(net, stages, _video(clip), net)
    kept = _count_kept_bytes(net, stages, clip, batch)
    with explicit_forms():
        explicit = _count_kept_bytes(net, stages, clip, batch)
    return [
        StageCost(
            name,
            outputs.get(name, ()),
            Counter(type(block).__name__ for _, block in outermost_blocks(stage)),
            costs[name] + Cost(kept_bytes=kept.get(name, 0), explicit_bytes=explicit.get(name, 0)),
        )
        for name, stage in stages.items()
    ]


def total(name: str, parts: Sequence[StageCost]) -> StageCost:
    """Return the sum of parts, without an output."""
    return StageCost(name, (), sum((part.blocks for part in parts), Counter()), sum((p.cost for p in parts), Cost()))


def _count_macs(
    net: nn.Module, stages: dict[str, nn.Module], x: Tensor, forward: Callable[[Tensor], Tensor]
) -> dict[str, Cost]:
    net.eval()
    counts = []
    for form in (explicit_forms(), nullcontext()):
        with torch.no_grad(), form, FlopCounterMode(display=False, custom_mapping=dict.fromkeys(NORMS, _norm)) as mode:
            forward(x)
        counts.append(mode.get_flop_counts())
    root = type(net).__name__
    paths = {module: f"{root}.{path}" if path else "Global" for path, module in net.named_modules()}

    def macs(counts: dict[str, dict], stage: nn.Module, norms: bool) -> int:
        return sum(flops // 2 for op, flops in counts.get(paths[stage], {}).items() if (op in NORMS) == norms)

    explicit, computed = counts
    return {
        name: Cost(
            params=sum(parameter.numel() for parameter in stage.parameters()),
            macs=macs(explicit, stage, norms=False),
            computed_macs=macs(computed, stage, norms=False),
            norm_macs=macs(explicit, stage, norms=True),
        )
        for name, stage in stages.items()
    }


def _video(clip: Clip) -> Tensor:
    return torch.empty(1, 3, *clip, device="meta")  # (B, 3, T, H, W)


def _norm(x: torch.Size, *_: Any, **__: Any) -> int:
    return 2 * 2 * x.numel()  # the counter counts a multiply-add as two


def _count_kept_bytes(net: nn.Module, stages: dict[str, nn.Module], clip: Clip, batch: int) -> dict[str, int]:
    """Count what autograd keeps, each memory once, however many operations keep a view of it."""
    net.train()
    own = {_identity(tensor) for tensor in (*net.parameters(), *net.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        if _identity(tensor) not in own:
            kept[_identity(tensor)] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), _increases(stages, kept) as increases:
        net(torch.empty(batch, 3, *clip, device="meta"))
    return increases


def _identity(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata  # tensors on meta have no address


@contextmanager
def _increases(stages: dict[str, nn.Module], kept: dict[int, torch.UntypedStorage]) -> Iterator[dict[str, int]]:
    """Record by how many bytes `kept` grows while each stage runs."""
    increases: dict[str, int] = {}

    def add(sign: int, name: str, *_: Any) -> None:
        increases[name] = increases.get(name, 0) + sign * sum(storage.nbytes() for storage in kept.values())

    with ExitStack() as hooks:
        for name, stage in stages.items():
            hooks.enter_context(stage.register_forward_pre_hook(partial(add, -1, name)))
            hooks.enter_context(stage.register_forward_hook(partial(add, +1, name)))
        yield increases
