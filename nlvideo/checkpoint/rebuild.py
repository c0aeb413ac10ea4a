"""Build the network that a checkpoint's record describes, from vetted classes only.

A record is data from whoever made the file. Nothing that it names is imported or looked up: a class path is compared
with the paths of the classes that exist in nlvideo and in the modules that the user trusts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from nlvideo.blocks import Block
from nlvideo.checkpoint.trusted_builders import check_builder
from nlvideo.models import AnyModel, Backbone, Head
from nlvideo.user_modules import import_module

SHOWN = 80  # characters of what a file says


@dataclass(frozen=True)
class Classes:
    """What a record may name.

    Attributes:
        by_name: backbones, blocks and heads, by path and by short name.
        trusted_modules: modules of the user, whose models `AnyModel` may make.
    """

    by_name: dict[str, type]
    trusted_modules: tuple[str, ...]


def known_classes(trusted_modules: Sequence[str] = ()) -> Classes:
    """Return the backbones, blocks and heads that a record may name: those of nlvideo, by path and by short name, and
    those of the modules that the user trusts, by path. These modules are imported."""
    for module in trusted_modules:
        import_module(module)
    classes: dict[str, type] = {}
    for cls in _subclasses(Backbone, Block, Head):
        if _is_in(cls.__module__, ["nlvideo"]):
            classes[cls.__name__] = cls
        if _is_in(cls.__module__, ["nlvideo", *trusted_modules]):
            classes[f"{cls.__module__}.{cls.__qualname__}"] = cls
    return Classes(classes, tuple(trusted_modules))


def rebuild(node: Any, classes: Classes) -> Backbone:
    """Build the network of a record, a mapping of class_path and init_args with plain values.

    Args:
        node: as `Backbone.config` returns it.
        classes: those that the record may name, from `known_classes`.

    Raises:
        ValueError: the record names anything but a known class, or is damaged.
    """
    factory = _value(node, "net", classes)
    if not isinstance(factory, partial):
        raise ValueError("net: expected a mapping of class_path and init_args, and nothing else")
    if not issubclass(factory.func, Backbone):
        raise ValueError(f"net: expected a network, got {factory.func.__name__}")
    return factory()


def _value(value: Any, key: str, classes: Classes) -> Any:
    """Return a value of a record as constructors take it: a node of a class as a factory, all else as it is.

    Raises:
        ValueError: it names anything but a known class, or holds what is not plain.
    """
    if isinstance(value, dict):
        if wrong := [name for name in value if not isinstance(name, str | int)]:
            raise ValueError(f"{key}: expected names as keys, got {type(wrong[0]).__name__}")
        if "class_path" in value:
            return _factory(value, key, classes)
        return {name: _value(item, f"{key}.{str(name)[:SHOWN]}", classes) for name, item in value.items()}
    if isinstance(value, list | tuple):
        sequence = tuple if isinstance(value, tuple) else list
        return sequence(_value(item, key, classes) for item in value)
    if not isinstance(value, str | int | float | None):
        raise ValueError(f"{key}: expected a plain value, got {type(value).__name__}")
    return value


def _factory(node: dict[str, Any], key: str, classes: Classes) -> partial:
    path, arguments = node["class_path"], node.get("init_args") or {}
    if not node.keys() <= {"class_path", "init_args"}:
        raise ValueError(f"{key}: expected a mapping of class_path and init_args, and nothing else")
    if not isinstance(path, str):
        raise ValueError(f"{key}.class_path: expected a name, got {type(path).__name__}")
    if not isinstance(arguments, dict):
        raise ValueError(f"{key}.init_args: expected a mapping, got {type(arguments).__name__}")
    if path not in classes.by_name:
        module = path.rpartition(".")[0][:SHOWN]
        how = f"if you trust the module, add --import {module}" if module else "nlvideo has none of that name"
        raise ValueError(
            f"{key} names {path[:SHOWN]!r}, which is no network, block or head of nlvideo; nothing of it was imported "
            f"({how}; in Python: nlvideo.load(.., trusted_modules=[..]))"
        )
    cls = classes.by_name[path]
    if issubclass(cls, AnyModel):
        check_builder(arguments.get("model"), arguments.get("kwargs"), classes.trusted_modules)
    return partial(cls, **{name: _value(item, f"{key}.{name}", classes) for name, item in arguments.items()})


def _is_in(module: str, packages: Sequence[str]) -> bool:
    return any(f"{module}.".startswith(f"{package}.") for package in packages)


def _subclasses(*classes: type) -> Iterator[type]:
    for cls in classes:
        yield cls
        yield from _subclasses(*cls.__subclasses__())
