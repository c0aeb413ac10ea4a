"""Which blocks stand in a network, read from the network itself."""

from collections.abc import Iterable, Iterator

from torch import nn

from nlvideo.blocks import Block
from nlvideo.models.backbone import Backbone
from nlvideo.models.insert import INSERTED


def placed_blocks(net: Backbone) -> dict[str, dict[str, list[int]]]:
    """Return the blocks in a network: by kind and stage, the indices of their residual blocks.

    A kind is a class and, except behind a residual block, the place in it: ``NonLocal``, ``SqueezeExcite at branch``.
    Blocks outside of residual blocks have no indices.
    """
    residual_blocks = net.residual_blocks()
    found: dict[str, dict[str, list[int]]] = {}
    for stage, part in net.stages().items():
        for index, module in enumerate(residual_blocks.get(stage, [part])):
            for path, block in outermost_blocks(module):
                kind = type(block).__name__
                if stage not in residual_blocks:
                    found.setdefault(kind, {}).setdefault(stage, [])
                    continue
                is_behind = path in ("", "after") or path.endswith(INSERTED)
                kind += "" if is_behind else f" at {path}"
                found.setdefault(kind, {}).setdefault(stage, []).append(index)
    return found


def describe_blocks(net: Backbone) -> str:
    """Return `placed_blocks` as text: ``NonLocal res3[1, 3] res4[1, 3, 5]``, or ``none``."""
    kinds = [
        " ".join([kind, *(f"{stage}{indices or ''}" for stage, indices in stages.items())])
        for kind, stages in placed_blocks(net).items()
    ]
    return "; ".join(kinds) or "none"


def place_names(net: nn.Module, paths: Iterable[str]) -> dict[str, str]:
    """Return module paths of blocks by the names of their places, such as res4.1.

    A second block of a residual block has its place in the name too: res4.1.branch. A block outside of residual blocks
    is named by its path, an inserted one by that of the module before it.
    """
    wrapped = f"{net.wrapped}." if isinstance(net, Backbone) and net.wrapped else ""
    stages = net.residual_blocks() if isinstance(net, Backbone) else {}
    places = {module: f"{stage}.{i}" for stage, blocks in stages.items() for i, module in enumerate(blocks)}
    names: dict[str, str] = {}
    for path in paths:
        parents = [path.rsplit(".", n)[0] for n in range(path.count(".") + 1)]
        parent = next((each for each in parents if net.get_submodule(each) in places), None)
        if parent is None:
            name = path.removeprefix(wrapped).replace(f".{INSERTED}", "")
        else:
            name = places[net.get_submodule(parent)]
        if name in names:
            name += path.removeprefix(parent or "")
        names[name] = path
    return names


def block_places(net: nn.Module) -> dict[str, str]:
    """Return the module paths of the blocks in a network by the names of their places, without the blocks that they
    are made of."""
    return place_names(net, (path for path, _ in outermost_blocks(net)))


def outermost_blocks(module: nn.Module, path: str = "") -> Iterator[tuple[str, Block]]:
    """Yield the blocks in a module and their paths, without the blocks that they are made of."""
    if isinstance(module, Block):
        yield path, module
        return
    for name, child in module.named_children():
        yield from outermost_blocks(child, f"{path}.{name}" if path else name)
