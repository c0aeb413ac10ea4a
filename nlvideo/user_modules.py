"""Modules of the user, such as a file with a block: found in the working directory, imported by ``--import MODULE``."""

import importlib
import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from types import ModuleType


def search_working_directory() -> None:
    """Let modules in the working directory be imported, as ``python -m`` does. Installed modules win."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def import_if_there(name: str) -> ModuleType | None:
    """Import a module, or return None if there is none.

    Raises:
        ModuleNotFoundError: the module is there, and imports another one that is not.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        return None


def import_module(name: str) -> ModuleType:
    """Import a module that the user named.

    Raises:
        ValueError: there is no such module.
    """
    search_working_directory()
    if module := import_if_there(name):
        return module
    raise ValueError(
        f"--import {name}: no such module; for my_blocks.py in this folder give --import my_blocks; the folder of one "
        "elsewhere goes into PYTHONPATH"
    )


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
