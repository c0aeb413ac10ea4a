"""Placement of attention blocks in any model, by module path: patterns, counts, and every residual unit of a stage.

::

    at: layer3.1                        after that module
    at: ["layer2.*", "layer3.[0,1]"]    patterns: * and [0,1] stand for names between dots
    at: {layer3: 1, layer2: [0, -1]}    a count, spread evenly, or indices of the units of a stage
    at: {each: [layer2, layer3]}        after every unit of these stages
"""

import re
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase

from torch import nn

from nlvideo.models.placement import PRESETS, Placement, resolve_indices

EACH = "each"


def resolve_paths(at: Placement, model: nn.Module) -> list[str]:
    """Return the module paths that a placement names, in the order of the model's modules.

    Raises:
        ValueError: nothing in the model has such a name, or a place is named twice; the message lists the nearest.
    """
    modules = dict(model.named_modules())
    if at == "none":
        return []
    if isinstance(at, str) and (at in PRESETS or at == "all"):
        raise ValueError(
            f"placement {at!r}: means stages of a ResNet3d; expected paths of modules such as "
            f"{_examples(model)}, or none"
        )
    named = [at] if isinstance(at, str) else at
    if isinstance(at, dict):
        chosen = [path for stage, where in at.items() for path in _of_stage(stage, where, modules)]
    else:
        chosen = [path for pattern in named for path in match_paths(str(pattern), modules)]
    if twice := [path for path in chosen if chosen.count(path) > 1]:
        raise ValueError(f"placement {at}: names {twice[0]} twice")
    return sorted(chosen, key=list(modules).index)


def match_paths(pattern: str, paths: Collection[str]) -> list[str]:
    """Return the paths that a pattern fits: name by name, ``*`` any part of one, ``[1,3]`` one of several.

    Raises:
        ValueError: none does.
    """
    wanted = re.split(r"\.(?![^\[]*\])", pattern)  # not at a dot in brackets
    found = [path for path in paths if path and _fits(wanted, path.split("."))]
    if not found:
        raise ValueError(f"placement: no module {pattern!r}; the nearest are {nearest_paths(pattern, paths)}")
    return found


def nearest_paths(path: str, paths: Collection[str]) -> str:
    """Return the paths that are most like another, as text."""
    return ", ".join(get_close_matches(path, [each for each in paths if each], n=5, cutoff=0.2)) or "none"


def units(module: nn.Module) -> dict[str, nn.Module]:
    """Return the units that a stage is a chain of, by their paths within it; none if it is no chain.

    A stage is an ``nn.Sequential``, or holds nothing but one list of modules, as pytorchvideo's do.
    """
    if _is_sequential(module):
        return dict(module.named_children())
    children = dict(module.named_children())
    if len(children) == 1 and isinstance(held := next(iter(children.values())), nn.ModuleList):
        return {f"{next(iter(children))}.{name}": unit for name, unit in held.named_children()}
    return {}


def stage_paths(model: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the parts that a model is made of and their paths; of a list of modules, which is never called, each."""
    for name, child in model.named_children():
        inner = f"{path}.{name}" if path else name
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from stage_paths(child, inner)
        else:
            yield inner, child


def residual_units(module: nn.Module) -> dict[str, nn.Module]:
    """Return `units` unless all of them are single layers, as those of a stem are."""
    found = units(module)
    return found if any(list(unit.children()) for unit in found.values()) else {}


def unit_paths(module: nn.Module, path: str) -> list[str]:
    """Return the paths of the units that a stage is a chain of; else its own, and those of the units of chains in it,
    such as pathways."""
    chains = dict(_chains(module, path))
    whole = [] if path in chains else [path]
    return whole + [f"{chain}.{unit}" for chain, its_units in chains.items() for unit in its_units]


def _chains(module: nn.Module, path: str) -> Iterator[tuple[str, dict[str, nn.Module]]]:
    """Yield the outermost chains of units in a module."""
    if found := residual_units(module):
        yield path, found
        return
    for name, child in module.named_children():
        yield from _chains(child, f"{path}.{name}" if path else name)


def _of_stage(stage: str, where: int | str | list, modules: dict[str, nn.Module]) -> list[str]:
    if stage == EACH:
        names = [where] if isinstance(where, str) else where
        if not isinstance(names, list):
            raise ValueError(f"placement: {EACH}: expected stages such as {{{EACH}: layer3}}, got {where!r}")
        stages = [path for name in names for path in match_paths(str(name), modules)]
        return [f"{path}.{unit}" for path in stages for unit in _units_of(path, modules)]
    (path,) = match_paths(stage, modules) if stage in modules else [_no_stage(stage, modules)]
    found = [f"{path}.{unit}" for unit in _units_of(path, modules)]
    return [found[i] for i in resolve_indices(path, where, len(found))]


def _units_of(path: str, modules: dict[str, nn.Module]) -> list[str]:
    found = units(modules[path])
    if not found:
        raise ValueError(
            f"placement: {path!r} is a {type(modules[path]).__name__}, no chain of units to count; name modules in it "
            f"by path, or a stage: {_stages(modules[''])}"
        )
    return list(found)


def _no_stage(stage: str, modules: dict[str, nn.Module]) -> str:
    raise ValueError(f"placement: no stage {stage!r}; expected {_stages(modules[''])}")


def _stages(model: nn.Module) -> str:
    return ", ".join(path for path, _ in _chains(model, "")) or "a module path"


def _examples(model: nn.Module) -> str:
    path, found = next(_chains(model, ""), ("layer3", {"1": model}))
    return f"{path}.{list(found)[-1]} or {{{path}: 1}}"


def _fits(wanted: list[str], names: list[str]) -> bool:
    return len(wanted) == len(names) and all(map(_fits_name, wanted, names))


def _fits_name(wanted: str, name: str) -> bool:
    if wanted.startswith("[") and wanted.endswith("]"):
        return name in [each.strip() for each in wanted[1:-1].split(",")]
    return fnmatchcase(name, wanted)


def _is_sequential(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
