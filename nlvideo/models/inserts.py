"""Which blocks stand where in a network: kinds of blocks by name, and how overrides change them.

::

    after: {at: nl5}                                     one kind, called main
    after: {early: {at: {res3: 2}}, late: {block: DualAttention, at: {res5: [-1]}}}
    after: none                                          no blocks at all
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from nlvideo.blocks import Block, NonLocal
from nlvideo.models.placement import Placement

MAIN = "main"  # the kind that `block` and `at` mean if no other is there


@dataclass(frozen=True)
class Insert:
    """One kind of block and its places.

    Attributes:
        block: a Block class, or a factory that takes the number of channels.
        at: the places, see `resolve_placement`.
    """

    block: Callable[[int], Block] = NonLocal
    at: Placement = "none"


SHORTHAND = tuple(field.name for field in fields(Insert))


def named_inserts(given: Insert | Mapping[str, Insert | Mapping[str, Any]]) -> dict[str, Insert]:
    """Return kinds of blocks by name; an `Insert` alone is called ``main``. A mapping of an Insert's settings, as
    records of networks have it, becomes one.

    Raises:
        ValueError: a name could not be written in a key of the command line.
    """
    inserts = {MAIN: given} if isinstance(given, Insert) else dict(given)
    for name in inserts:
        if not name.isidentifier() or name in SHORTHAND:
            raise ValueError(
                f"after: {name!r} cannot name a kind of block; expected letters, digits and underscores, and not "
                f"{' or '.join(SHORTHAND)}"
            )
    return {name: as_insert(insert) for name, insert in inserts.items()}


def as_insert(given: Insert | Mapping[str, Any]) -> Insert:
    return given if isinstance(given, Insert) else Insert(**given)


def merge_inserts(before: Mapping[str, Any], override: Any) -> dict[str, Any]:
    """Return the kinds of blocks that hold after an override.

    Args:
        before: the settings of each kind, by name.
        override: ``none`` or an empty mapping for no blocks at all; settings by kind, which leave the other kinds as
            they are; or the settings of the only kind there is.

    Raises:
        ValueError: `override` is not a mapping, does not tell whether a new kind stands beside the others or in
            their place, or see `key_with_kind`.
    """
    if override in ("none", {}):
        return {}
    if not isinstance(override, Mapping):
        raise ValueError(f"after: expected none, {{at: nl5}} or kinds of blocks by name, got {override!r}")
    if any(key in SHORTHAND for key in override):
        names = [key_with_kind(before, key).partition(".")[0] for key in override]
        override = dict.fromkeys(names, override)
    for name, settings in override.items():
        complete = "block" in settings or "class_path" in settings  # the latter once jsonargparse has read them
        key_with_kind(before, f"{name}.block" if complete else f"{name}.at")
    kept = [name for name in before if name not in override and _stands(before[name])]
    new = [name for name in override if name not in before]
    if kept and new:
        raise ValueError(
            f"after: should {' and '.join(kept)} stand beside {' and '.join(new)}? Then give after.{new[0]}.block and "
            f"after.{new[0]}.at; if not, give 'after none' first, or name it too: {{{kept[0]}: {{at: none}}, ..}}"
        )
    return {**before, **override}


def _stands(settings: Mapping[str, Any]) -> bool:
    return settings.get("init_args", settings).get("at", "none") != "none"


def key_with_kind(before: Mapping[str, Any], key: str) -> str:
    """Return a key below ``after`` with the kind of block that it is for: at -> main.at, early.at -> early.at.

    Raises:
        ValueError: the key could mean several kinds, or one that is not there.
    """
    name = key.partition(".")[0]
    if name in SHORTHAND:
        if len(before) > 1:
            raise ValueError(
                f"after.{key}: there are several kinds of blocks; give "
                f"{' or '.join(f'after.{name}.{key}' for name in before)}, or 'after none' for no blocks at all"
            )
        return f"{next(iter(before), MAIN)}.{key}"
    if name not in before and key not in (name, f"{name}.block") and before.keys() | {name} != {MAIN}:
        raise ValueError(
            f"after.{key}: there is no kind of blocks {name!r}; expected {' or '.join(before) or MAIN}, or first a "
            f"new one's block: after.{name}.block"
        )
    return key
