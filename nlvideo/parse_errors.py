"""Messages of the parser in the words of the command line: the mistake, what was expected, the nearest right thing."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from lightning.pytorch import callbacks, loggers

from nlvideo import recipes
from nlvideo.blocks import Block
from nlvideo.models.backbone import Backbone
from nlvideo.models.head import Head
from nlvideo.suggest import did_you_mean

BASES = {"net": Backbone, "block": Block, "head": Head}  # what the classes that a key of this name takes derive from
LIGHTNING = {"logger": loggers, "callbacks": callbacks}  # modules of the classes that a key takes; too many to list


def explain(message: str, options: Iterable[str]) -> str:
    """Return the line that tells a user what is wrong.

    Args:
        message: jsonargparse's.
        options: those of the parser.
    """
    message = " ".join(message.split())
    if found := re.fullmatch(r"unrecognized arguments: (.*)", message):
        return _unknown_argument(found[1], options)
    if found := re.fullmatch(r"the following arguments are required: (.*)", message):
        return (
            f"not given, and without a default: {found[1]}; arguments of a class stand below its key, as in "
            "--trainer.logger TensorBoardLogger --trainer.logger.save_dir runs/logs"
        )
    if found := re.fullmatch(r"Option '(.*)' is not accepted", message):
        known = [option.removeprefix("--") for option in options]
        return f"{message}{did_you_mean(found[1], known)}"
    if found := re.match(r'Parser key "([\w.]+)": .*Expected a dot import path string: (\S+)', message):
        return _unknown_class(found[1], found[2])
    if found := re.match(r'Parser key "([\w.]+)": .*Literal\[.* (?:Given|Got) value: (\S+)', message):
        values = [value for each in re.findall(r"Literal\[(.*?)\]", message) for value in each.split(", ")]
        known = list(dict.fromkeys(value.strip("'") for value in values))
        return f"{found[1]}: expected {', '.join(known)}, got {found[2]}{did_you_mean(found[2], known)}"
    if found := re.fullmatch(r'Parser key "config": File does not exist: \'(.*)\'', message):
        path = Path(found[1])
        near = did_you_mean(path.name, (file.name for file in path.parent.glob("*.yaml")))
        given = os.path.relpath(path)  # jsonargparse makes it absolute
        return f"-c {given}: no such file or recipe{near or f'; {recipes.nearest(given)}'}"
    if found := re.fullmatch(r'Parser key "config": Path is not a file: \'(.*)\'', message):
        files = sorted(file.name for file in Path(found[1]).glob("*.yaml"))
        return f"-c {found[1]}: is a folder; expected a YAML file" + (f" such as {files[0]} in it" if files else "")
    if found := re.fullmatch(r'Parser key "([\w.]+)": Expected a <class \'int\'>. Got value: None', message):
        return f"{found[1]}: not given; start from a recipe with -c FILE.yaml, or give --{found[1]} NUMBER"
    if found := re.fullmatch(r'Parser key "([\w.]+)": Expected a <class \'(\w+)\'>. Got value: (.*)', message):
        return f"{found[1]}: expected {found[2]}, got {found[3]}"
    return message


def _unknown_argument(arguments: str, options: Iterable[str]) -> str:
    first = arguments.split()[0]
    if not first.startswith("-"):
        return f"{arguments!r} belongs to no option; put quotes around a value with spaces, as in '{{res4: [1]}}'"
    key = first.partition("=")[0]
    return f"no option {key}{did_you_mean(key, options)}"


def _unknown_class(key: str, name: str) -> str:
    last = key.rpartition(".")[2]
    if last in LIGHTNING:
        known = LIGHTNING[last].__all__
        expected = f"a class of {LIGHTNING[last].__name__} or a class's import path"
    else:
        known = sorted(_subclasses(BASES[last])) if last in BASES else []
        expected = " or ".join([*known, "a class's import path"])
    return f"{key}: no class {name!r}; expected {expected}{did_you_mean(name, known)}"


def _subclasses(base: type) -> set[str]:
    """Return the names of a class and of those that derive from it, but for bases that cannot be used themselves."""
    own = set() if base in (Backbone, Block) or base.__name__.startswith("_") else {base.__name__}
    return own.union(*(_subclasses(cls) for cls in base.__subclasses__()))
