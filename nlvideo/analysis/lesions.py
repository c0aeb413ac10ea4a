"""Lesions of a network: blocks switched off or restricted, by the names of their places and without training."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import nn

from nlvideo.blocks import Block
from nlvideo.blocks.lesion import Lesion
from nlvideo.models.placed_blocks import block_places

SEVERAL = "+"


def parse_lesions(net: nn.Module, texts: Sequence[str]) -> dict[str, dict[str, Lesion]]:
    """Return the lesions that texts of the command line ask for.

    Args:
        net: the network.
        texts: ``WHERE`` or ``WHERE:KIND`` each. WHERE is the place of a block, such as res4.1, several joined by +, all
            blocks together (``all``), or each block alone (``each``); for KIND see `Lesion.parse`, by default off.

    Returns:
        By name, such as ``res4.1-off``, the lesions of blocks by their module paths.

    Raises:
        ValueError: the network has no blocks, no such block, or one that knows no such lesion.
    """
    places = block_places(net)
    if texts and not places:
        raise ValueError(f"--lesion {texts[0]}: the network has no attention blocks")
    found: dict[str, dict[str, Lesion]] = {}
    for text in texts:
        where, colon, kind = text.partition(":")
        try:
            lesion = Lesion.parse(kind) if colon else Lesion()
        except ValueError as error:
            raise ValueError(f"--lesion {text}: {error}") from None
        rows = {"all": [list(places)], "each": [[name] for name in places]}.get(
            where, [list(dict.fromkeys(where.split(SEVERAL)))]
        )
        for names in rows:
            if unknown := [name for name in names if name not in places]:
                raise ValueError(
                    f"--lesion {text}: no block {unknown[0]!r}; expected some of {', '.join(places)}, all or each"
                )
            paths = {places[name]: lesion for name in names}
            for name in names:
                if not targets(net.get_submodule(places[name]), lesion):
                    block = net.get_submodule(places[name])
                    raise ValueError(f"--lesion {text}: {name} is a {type(block).__name__}, which knows {known(block)}")
            found[f"{where if where == 'all' else SEVERAL.join(names)}-{lesion}"] = paths
    return found


def known(block: Block) -> str:
    """Return the kinds of lesions that a block can have, as text."""
    kinds = {kind for module in block.modules() if isinstance(module, Block) for kind in module.lesions}
    return " and ".join(["off", *sorted(kinds)])


def targets(block: Block, lesion: Lesion) -> list[Block]:
    """Return the blocks that a lesion changes: the block itself, or those with attention that it is made of."""
    if lesion.kind == "off":
        return [block]
    return [module for module in block.modules() if isinstance(module, Block) and lesion.kind in module.lesions]


@contextmanager
def lesioned(net: nn.Module, lesions: Mapping[str, Lesion]) -> Iterator[None]:
    """Run a network's blocks with lesions, by module path, within this context."""
    with ExitStack() as hooks:
        for path, lesion in lesions.items():
            for block in targets(net.get_submodule(path), lesion):
                hook = partial(_with_lesion, lesion)
                hooks.enter_context(block.register_forward_pre_hook(hook, with_kwargs=True))
        yield


def _with_lesion(lesion: Lesion, block: Block, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    return args, {**kwargs, "lesion": lesion}
