"""Build the network that a checkpoint's record describes, from vetted classes only.

A record is data from whoever made the file. Nothing that it names is imported or looked up: a class path is compared
with the paths of the classes that exist in nlvideo and in the modules that the user trusts.
"""

import importlib
import types
import typing
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

from nlvideo.blocks import Block
from nlvideo.models import Backbone, Head
from nlvideo.user_modules import search_working_directory

NODE_KEYS = {"class_path", "init_args"}
SHOWN = 80  # characters of what a file says

Classes = dict[str, type]


def add_import_argument(parser: ArgumentParser) -> None:
    """Add ``--import MODULE``, whose values are `trusted_modules`."""
    parser.add_argument(
        "--import",
        dest="trusted_modules",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module of yours whose blocks, heads and networks the checkpoint may name; repeatable",
    )


def import_named_modules(arguments: Sequence[str]) -> list[str]:
    """Import the modules of all ``--import MODULE`` on a command line, and return its other arguments."""
    parser = ArgumentParser(prog="nlvideo", add_help=False, allow_abbrev=False)
    add_import_argument(parser)
    options, others = parser.parse_known_args(arguments)
    for name in options.trusted_modules:
        import_module(name)
    return others


def import_module(name: str) -> None:
    """Import a module that the user named.

    Raises:
        ValueError: there is no such module.
    """
    search_working_directory()
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there, and imports another one that is not
        raise ValueError(
            f"--import {name}: no such module; for my_blocks.py in this folder give --import my_blocks; the folder of "
            "one elsewhere goes into PYTHONPATH"
        ) from error


def known_classes(trusted_modules: Sequence[str] = ()) -> Classes:
    """Return the backbones, blocks and heads that a record may name: those of nlvideo, by path and by short name, and
    those of the modules that the user trusts, by path. These modules are imported."""
    for module in trusted_modules:
        import_module(module)
    classes: Classes = {}
    for cls in _subclasses(Backbone, Block, Head):
        if _is_in(cls.__module__, ["nlvideo"]):
            classes[cls.__name__] = cls
        if _is_in(cls.__module__, ["nlvideo", *trusted_modules]):
            classes[f"{cls.__module__}.{cls.__qualname__}"] = cls
    return classes


def rebuild(node: Any, classes: Classes) -> Backbone:
    """Build the network of a record, a mapping of class_path and init_args with plain values.

    Args:
        node: as `Backbone.config` returns it.
        classes: those that the record may name, from `known_classes`.

    Raises:
        ValueError: the record names anything but a known class, or is damaged.
    """
    _vet(node, "net", classes)
    cls = _class_of(node, "net", classes)
    if not issubclass(cls, Backbone):
        raise ValueError(f"net: expected a network, got {cls.__name__}")
    return cls(**_init_args(cls, node, "net", classes))


def _vet(value: Any, key: str, classes: Classes) -> None:
    """Raise ValueError unless all that stands in a record is plain, and each node names a known class."""
    if isinstance(value, dict):
        if "class_path" in value:
            _class_of(value, key, classes)
        for name, item in value.items():
            if not isinstance(name, str | int):
                raise ValueError(f"{key}: expected names as keys, got {type(name).__name__}")
            _vet(item, key if name == "init_args" else f"{key}.{str(name)[:SHOWN]}", classes)
    elif isinstance(value, list | tuple):
        for item in value:
            _vet(item, key, classes)
    elif not isinstance(value, str | int | float | None):
        raise ValueError(f"{key}: expected a plain value, got {type(value).__name__}")


def _class_of(node: Any, key: str, classes: Classes) -> type:
    if not isinstance(node, dict) or "class_path" not in node or not node.keys() <= NODE_KEYS:
        raise ValueError(f"{key}: expected a mapping of class_path and init_args, and nothing else")
    path = node["class_path"]
    if not isinstance(path, str):
        raise ValueError(f"{key}.class_path: expected a name, got {type(path).__name__}")
    if path not in classes:
        module = path.rpartition(".")[0][:SHOWN]
        how = f"if you trust the module, add --import {module}" if module else "nlvideo has none of that name"
        raise ValueError(
            f"{key} names {path[:SHOWN]!r}, which is no network, block or head of nlvideo; nothing of it was imported "
            f"({how}; in Python: nlvideo.load(.., trusted_modules=[..]))"
        )
    return classes[path]


def _init_args(cls: type, node: dict[str, Any], key: str, classes: Classes) -> dict[str, Any]:
    init_args, hints = node.get("init_args") or {}, {}
    if not isinstance(init_args, dict):
        raise ValueError(f"{key}.init_args: expected a mapping, got {type(init_args).__name__}")
    for base in reversed(cls.__mro__):  # a subclass may hand **kwargs on
        hints |= typing.get_type_hints(base.__init__) if "__init__" in vars(base) else {}
    return {name: _value(value, hints.get(name, Any), f"{key}.{name}", classes) for name, value in init_args.items()}


def _value(value: Any, hint: Any, key: str, classes: Classes) -> Any:
    """Return a value of a record as its constructor expects it: a node as a factory, a mapping as the dataclass of the
    type hint, a list as a tuple if the hint says so."""
    kinds = list(_members(hint))
    if isinstance(value, dict):
        if "class_path" in value:
            cls = _class_of(value, key, classes)
            return partial(cls, **_init_args(cls, value, key, classes))
        for kind in kinds:
            if is_dataclass(kind) and value.keys() <= {field.name for field in fields(kind)}:
                hints = typing.get_type_hints(kind)
                return kind(
                    **{name: _value(item, hints[name], f"{key}.{name}", classes) for name, item in value.items()}
                )
        of_items = _item_hint(kinds, dict)
        return {name: _value(item, of_items, f"{key}.{name}", classes) for name, item in value.items()}
    if isinstance(value, list | tuple):
        origins = [typing.get_origin(kind) or kind for kind in kinds]
        sequence = tuple if tuple in origins and list not in origins else list
        return sequence(_value(item, _item_hint(kinds, list, tuple), key, classes) for item in value)
    if isinstance(value, str) and any(typing.get_origin(kind) is Callable for kind in kinds):
        raise ValueError(f"{key}: expected a mapping of class_path and init_args, got {value[:SHOWN]!r}")
    return value


def _members(hint: Any) -> Iterator[Any]:
    """Yield the types of a union, or the one type."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        for member in typing.get_args(hint):
            yield from _members(member)
    else:
        yield hint


def _item_hint(kinds: list[Any], *containers: type) -> Any:
    for kind in kinds:
        if typing.get_origin(kind) in containers:
            return typing.get_args(kind)[-1 if dict in containers else 0]
    return Any


def _is_in(module: str, packages: Sequence[str]) -> bool:
    return any(f"{module}.".startswith(f"{package}.") for package in packages)


def _subclasses(*classes: type) -> Iterator[type]:
    for cls in classes:
        yield cls
        yield from _subclasses(*cls.__subclasses__())
