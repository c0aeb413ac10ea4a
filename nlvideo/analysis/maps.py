"""Attention maps: on which positions of which frames a block draws, for chosen query positions.

A block's input is caught by a hook while a clip goes through the network; the block itself then gives the rows of its
attention matrix that were asked for, and no others.

Shapes: B = 1 clip, C channels, T frames, H x W positions of a block's map, H' x W' of its keys, Q queries.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from nlvideo.analysis.geometry import Grid, Triple, block_grids
from nlvideo.blocks import Block
from nlvideo.models.placed_blocks import place_names

MAX_BYTES = 2**30  # of the maps of one block
WEIGHTS = ("attention_weights", "channel_weights")


@dataclass(frozen=True)
class AttentionMap:
    """One row of a block's attention matrix.

    Attributes:
        block: name of the block, see `block_names`.
        query: position (t, y, x) in the block's map.
        weights: f(x_i, x_j) / C(x), float32 [T, H', W'], on the CPU. They sum to 1 for the softmax functions.
        query_grid: where query positions lie in the clip.
        key_grid: where key positions lie in the clip.
    """

    block: str
    query: tuple[int, int, int]
    weights: Tensor
    query_grid: Grid
    key_grid: Grid

    @property
    def point(self) -> Triple:
        """Frame, row and column of the query, in the clip."""
        return self.query_grid.centre(self.query)

    def strongest(self, count: int, *, other_frames: bool = False) -> list[tuple[float, Triple]]:
        """Return the largest weights and where they lie in the clip, the largest first.

        Args:
            count: how many at most.
            other_frames: leave out the query's own frame.
        """
        weights = self.weights.clone()
        if other_frames:
            weights[self.query[0]] = -torch.inf
        values, places = weights.flatten().topk(min(count, weights.numel()))
        positions = torch.stack(torch.unravel_index(places, weights.shape), dim=1).tolist()  # [count, 3]
        found = zip(values.tolist(), positions, strict=True)
        return [(value, self.key_grid.centre(position)) for value, position in found if value != -torch.inf]


def block_names(net: nn.Module) -> dict[str, str]:
    """Return the module paths of the blocks that have maps or channel weights, by names such as res4.1, see
    `place_names`."""
    return place_names(net, (path for path, block in _blocks(net) if any(overrides(block, name) for name in WEIGHTS)))


def channel_weights(net: nn.Module, clip: Tensor, path: str) -> Tensor | None:
    """Return a block's gates [C] or weights [C, C] on a clip [1, 3, T, H, W]; None if it weighs no channels."""
    block = net.get_submodule(path)
    if not overrides(block, "channel_weights"):
        return None
    with torch.no_grad():
        return block.channel_weights(_inputs(net, {path: block}, clip)[path])[0].float().cpu()


def _blocks(net: nn.Module) -> Iterator[tuple[str, Block]]:
    return ((path, module) for path, module in net.named_modules() if isinstance(module, Block))


def overrides(block: Block, method: str) -> bool:
    """Return whether a block has a method of its own in place of the base class's."""
    return getattr(type(block), method) is not getattr(Block, method)


def attention_maps(
    net: nn.Module,
    clip: Tensor,
    *,
    blocks: Sequence[str] | None = None,
    queries: Sequence[Triple] | Literal["all"] | None = None,
    num_queries: int = 4,
    label: int | None = None,
) -> list[AttentionMap]:
    """Return attention maps of a network's blocks on a clip.

    Args:
        net: in eval mode.
        clip: normalised, [1, 3, T, H, W], on the network's device.
        blocks: names as in `block_names`, such as res4.1; by default all blocks that have attention maps.
        queries: frames, rows and columns of the clip, each taken to the nearest position of a block's map; or "all".
            By default the `num_queries` positions whose y_i changes the class score most, see `influential_positions`.
        num_queries: number of default queries of a block.
        label: class of that score; by default the one that the network predicts.

    Raises:
        ValueError: the network has no such block, or the maps would take more than 1 GB.
    """
    paths, grids = _chosen(net, blocks), block_grids(net, clip.shape[2:])
    modules = {path: net.get_submodule(path) for path in paths.values()}
    inputs = _inputs(net, modules, clip)
    maps = []
    for name, path in paths.items():
        block, grid, x = modules[path], grids[path], inputs[path]
        if queries == "all":
            positions = torch.cartesian_prod(*(torch.arange(n) for n in grid.size)).tolist()
        elif queries is None:
            positions = influential_positions(net, clip, path, label=label, count=num_queries)
        else:
            positions = list(dict.fromkeys(grid.nearest(point) for point in queries))
        num_bytes = 4 * len(positions) * grid.size[0] * grid.size[1] * grid.size[2]
        if num_bytes > MAX_BYTES:
            raise ValueError(
                f"{name}: {len(positions)} maps over {grid.size} positions take up to {num_bytes / 1e9:.1f} GB; choose "
                "queries, or a block with a smaller map"
            )
        with torch.no_grad():
            weights = block.attention_weights(x, torch.tensor(positions, device=x.device))  # (1, Q, T, H', W')
        weights = weights[0].float().cpu()  # (Q, T, H', W')
        keys = grid.pooled(weights.shape[1:])
        maps += [AttentionMap(name, tuple(each), row, grid, keys) for each, row in zip(positions, weights, strict=True)]
    return maps


def influential_positions(
    net: nn.Module, clip: Tensor, path: str, *, label: int | None = None, count: int = 4
) -> list[tuple[int, int, int]]:
    """Return the positions (t, y, x) whose y_i changes the class score most, no two of them neighbours.

    The change of the score without what the block adds at position i, z_i - x_i, to first order: its product with the
    gradient of the score with respect to z_i.

    Args:
        net: in eval mode.
        clip: normalised, [1, 3, T, H, W].
        path: module path of a block.
        label: class of the score; by default the one that the network predicts.
        count: how many.
    """
    caught: dict[str, Tensor] = {}

    def cut(module: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
        caught["added"] = (output - args[0]).detach()
        caught["output"] = output.detach().requires_grad_()  # so that the graph begins here
        return caught["output"]

    hook = net.get_submodule(path).register_forward_hook(cut)
    try:
        with torch.enable_grad():
            logits = net(clip)  # (1, K)
            score = logits[0, logits[0].argmax() if label is None else label]
            (grad,) = torch.autograd.grad(score, caught["output"])
    finally:
        hook.remove()
    effect = (grad * caught["added"]).sum(dim=1)[0].abs().cpu()  # (T, H, W)
    positions = []
    for _ in range(min(count, effect.numel())):
        t, y, x = (int(i) for i in torch.unravel_index(effect.argmax(), effect.shape))
        if effect[t, y, x] < 0:
            break
        positions.append((t, y, x))
        effect[t, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = -1.0
    return positions


def choose_blocks(net: nn.Module, blocks: Sequence[str] | None) -> dict[str, str]:
    """Return the module paths of the blocks that ``--block`` asks for, by name as in `block_names`; all if of none.

    Raises:
        ValueError: the network has no such block.
    """
    names = block_names(net)
    if unknown := [name for name in blocks or () if name not in names]:
        raise ValueError(f"--block {unknown[0]}: no such block; expected some of {', '.join(names)}")
    return {name: names[name] for name in blocks or names}


def attention_blocks(net: nn.Module) -> dict[str, str]:
    """Return the module paths of the blocks that have attention maps, by name."""
    names = block_names(net)
    return {name: path for name, path in names.items() if overrides(net.get_submodule(path), WEIGHTS[0])}


def _chosen(net: nn.Module, blocks: Sequence[str] | None) -> dict[str, str]:
    """Return the module paths of the blocks with attention maps that were asked for, by name."""
    found = attention_blocks(net)
    if not found:
        raise ValueError("the network has no block with attention maps: no NonLocal and no PositionAttention")
    unknown = [name for name in blocks or () if name not in found]
    if unknown:
        raise ValueError(f"no attention block {unknown[0]!r}; expected some of {', '.join(found)}")
    return {name: found[name] for name in blocks or found}


def _inputs(net: nn.Module, modules: dict[str, Block], clip: Tensor) -> dict[str, Tensor]:
    """Return what each block takes, [1, C, T, H, W], while the clip goes through the network."""
    inputs: dict[str, Tensor] = {}
    with ExitStack() as hooks, torch.no_grad():
        for path, module in modules.items():
            hooks.enter_context(
                module.register_forward_pre_hook(lambda module, args, path=path: inputs.__setitem__(path, args[0]))
            )
        net(clip)
    return inputs
