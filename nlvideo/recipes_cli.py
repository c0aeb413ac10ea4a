"""``nlvideo recipes``: the recipes that come with nlvideo, and what was published for each."""

import argparse
from pathlib import Path

from rich.table import Table

from nlvideo.console import console
from nlvideo.recipes import FOLDER, SWEEPS, find, nearest, recipes


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nlvideo recipes",
        description="List the recipes that come with nlvideo, or print one. A name is what -c takes; a file of yours "
        "with that name goes first.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="print this recipe, to start one of your own from")
    return parser


def main(args: list[str]) -> None:
    options = build_parser().parse_args(args)
    if options.name is None:
        _list()
        return
    file = Path(find(options.name))
    if not file.is_file():
        raise ValueError(f"no recipe {options.name!r}; {nearest(options.name)}")
    print(file.read_text(encoding="utf-8"), end="")


def _list() -> None:
    table = Table(box=None, pad_edge=False, caption_justify="left")
    table.add_column("-c", no_wrap=True)
    table.add_column("what it is")
    for name in ("params M", "GMACs"):
        table.add_column(name, justify="right")
    table.add_column("published %")
    for recipe in recipes():
        elsewhere = f" on {recipe.data}" if recipe.data not in ("", "Kinetics-400") else ""
        table.add_row(recipe.name, recipe.about, recipe.params, recipe.gmacs, recipe.published + elsewhere)
    table.caption = (
        "GMACs: of one clip at 224 (torchvision: R3D, MC3, R(2+1)D at 112; X3D at 160). Published: on Kinetics-400, "
        "10 clips x 3 crops (torchvision's: fewer), unless it says another. None was trained here; each recipe's head "
        "names its source."
    )
    console().print(table)
    sweeps = sorted(file.relative_to(FOLDER).with_suffix("").as_posix() for file in (FOLDER / SWEEPS).rglob("*.yaml"))
    print(f"\nFor nlvideo ablate --sweep: {', '.join(sweeps)}")
    print("Next: nlvideo recipes NAME prints one; nlvideo fit -c NAME --name my_run trains it")
