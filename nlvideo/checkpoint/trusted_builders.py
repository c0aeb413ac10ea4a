"""Which models of other libraries a checkpoint's record may name: their own builders, with plain arguments.

`AnyModel` imports and calls what its argument ``model`` names. In a record that is the word of a stranger, so it is
compared with what a library lists as its models before the network is built.
"""

import importlib
import inspect
import re
from collections.abc import Sequence
from typing import Any

from torch import nn

from nlvideo.models.sources import DOWNLOADS

SHOWN = 80  # characters of what a file says
LIBRARIES = ("torchvision.models", "pytorchvideo.models", "timm.models", "nlvideo.models")
PLAIN_TEXT = re.compile(r"[\w.+-]{0,64}")  # no address, no path with folders


def check_builder(path: Any, kwargs: Any, trusted_modules: Sequence[str]) -> None:
    """Raise ValueError unless a record's model may be built: one of `LIBRARIES` with arguments that load nothing, or of
    a module that the user trusts.

    Only modules of these libraries are imported.
    """
    if not isinstance(path, str) or not re.fullmatch(r"[A-Za-z]\w*(\.\w+)+", path):
        raise ValueError(f"net.model: expected module.function, got {str(path)[:SHOWN]!r}")
    module, _, name = path.rpartition(".")
    if any(_is_in(module, trusted) for trusted in trusted_modules):
        # Defined there, that is: a module may have imported functions that do anything.
        own = getattr(getattr(importlib.import_module(module), name, None), "__module__", None) or ""
        if not any(_is_in(own, trusted) for trusted in trusted_modules):
            raise ValueError(f"net.model names {path[:SHOWN]!r}, which {module[:SHOWN]} does not define")
        return
    if not any(_is_in(module, library) for library in LIBRARIES):
        raise ValueError(
            f"net.model names {path[:SHOWN]!r}, which is no model of {', '.join(LIBRARIES)}; nothing of it was "
            f"imported (if you trust the module, add --import {module[:SHOWN]})"
        )
    if name not in _listed(module):
        raise ValueError(f"net.model names {path[:SHOWN]!r}, which {module[:SHOWN]} does not have among its models")
    _check_plain(kwargs)


def _listed(module_name: str) -> set[str]:
    """Return the builders and classes of models that a module of a library has by itself."""
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ValueError(f"net.model: no module {module_name[:SHOWN]!r} is installed") from error
    library = module_name.partition(".")[0]
    found = set()
    for name, value in vars(module).items():
        own = getattr(value, "__module__", None) or ""
        if name.startswith("_") or not isinstance(own, str) or not _is_in(own, f"{library}.models"):
            continue
        if (inspect.isclass(value) and issubclass(value, nn.Module)) or (
            inspect.isfunction(value) and _makes_model(value)
        ):
            found.add(name)
    return found


def _makes_model(function: Any) -> bool:
    """Return whether a function says that it returns a model; some of pytorchvideo's do not."""
    returned = inspect.signature(function).return_annotation
    if inspect.isclass(returned) and issubclass(returned, nn.Module):
        return True
    is_hub = _is_in(function.__module__, "pytorchvideo.models.hub")
    return is_hub and "pretrained" in inspect.signature(function).parameters


def _check_plain(value: Any, key: str = "kwargs") -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            if (name in DOWNLOADS or str(name).startswith(("pretrained", "checkpoint"))) and item not in (None, False):
                raise ValueError(f"net.{key}.{str(name)[:SHOWN]}: would load weights, which a checkpoint has itself")
            _check_plain(item, f"{key}.{str(name)[:SHOWN]}")
    elif isinstance(value, list | tuple):
        for item in value:
            _check_plain(item, key)
    elif isinstance(value, str) and not PLAIN_TEXT.fullmatch(value):
        raise ValueError(f"net.{key}: expected numbers and plain words, got {value[:SHOWN]!r}")
    elif callable(value):
        raise ValueError(f"net.{key}: expected numbers and plain words, got a class")


def _is_in(module: str, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")
