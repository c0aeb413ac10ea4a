"""The recipes that come with nlvideo: files of configs/, found by name wherever nlvideo is installed.

A name is a path within configs/, with or without it and its ending: ``nln/nl_i3d_r50_8x8``.
"""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "configs"  # in a checkout a link to the one at its top
SWEEPS = "ablations"  # the folder of files that are no recipes, but what `nlvideo ablate --sweep` takes
OPTIONS = ("-c", "--config")


class Recipe(NamedTuple):
    """What the comment at the head of a recipe says; "" for what it doesn't.

    Attributes:
        name: as on the command line.
        about: the start of its first sentence.
        params: parameters in millions.
        gmacs: multiply-adds of a clip in 10^9.
        published: accuracies in percent.
        data: the data set of these.
    """

    name: str
    about: str
    params: str
    gmacs: str
    published: str
    data: str


def find(name: str) -> str:
    """Return the path of the packaged file of this name, or else of the packaged folder.

    A file of the user goes first, and so does a folder before a packaged one. A name of neither is returned as it is.
    """
    within = name.removeprefix("configs/").removesuffix("/").removesuffix(".yaml")
    packaged = {path.relative_to(FOLDER).as_posix(): str(path) for path in FOLDER.rglob("*")}
    if Path(name).is_file():
        return name
    if file := packaged.get(f"{within}.yaml"):
        return file
    return name if Path(name).exists() else packaged.get(within, name)


def find_all(arguments: Sequence[str]) -> list[str]:
    """Return a command line with the names that `-c` gives in the form of paths."""
    found, before = [], ""
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if before in OPTIONS:
            argument = find(argument)
        elif equals and option in OPTIONS:
            argument = f"{option}={find(value)}"
        found.append(argument)
        before = argument
    return found


def names() -> list[str]:
    """Return the names of all recipes."""
    files = sorted(FOLDER.rglob("*.yaml"), key=lambda file: (len(file.parts), file))
    named = [file.relative_to(FOLDER).with_suffix("").as_posix() for file in files]
    return [name for name in named if not name.startswith(f"{SWEEPS}/")]


def nearest(name: str) -> str:
    """Return a question with the recipes that may be meant: of the same last part, or else of a similar name."""
    last = name.rpartition("/")[2].removesuffix(".yaml")
    same = [known for known in names() if known.rpartition("/")[2] == last]
    meant = same or get_close_matches(name.removeprefix("configs/").removesuffix(".yaml"), names(), n=2)
    return f"did you mean {' or '.join(meant)}?" if meant else "nlvideo recipes lists all"


def recipes() -> Iterator[Recipe]:
    """Yield what the heads of all recipes say."""
    for name in names():
        head = header((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
        about = re.split(r"(?<!al)[.?:;](?: |$)", head, maxsplit=1)[0]
        params, gmacs = _find(r"([\d.]+) M parameters, ([\d.]+) GMACs", head)
        data, published = _find(r"Published, ([^,]*),[^:]*: (.*?)\. ", head)
        yield Recipe(name, about, params, gmacs, published, data)


def _find(pattern: str, text: str) -> tuple[str, ...]:
    found = re.search(pattern, text)
    return found.groups() if found else ("", "")


def header(text: str) -> str:
    """Return the comment that opens a file as running text, without the commands in it."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines += [] if line.startswith("#   ") else [line.removeprefix("#").strip()]
    return " ".join(" ".join(lines).split())
