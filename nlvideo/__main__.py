"""``nlvideo``: the command line. torch is imported only once there is something to do."""

import os
import sys
from importlib import import_module
from typing import NamedTuple

from nlvideo.exit_codes import exit_code
from nlvideo.imports import long_imports
from nlvideo.suggest import did_you_mean
from nlvideo.user_modules import search_working_directory


class Command(NamedTuple):
    """A command of the command line.

    Attributes:
        module: imported to run it, by its ``main(args)``, which returns the exit status or None for 0.
        about: what it does, in some words.
        example: a command line.
    """

    module: str
    about: str
    example: str


COMMANDS = {
    "fit": Command("nlvideo.cli", "train", "-c configs/demo.yaml --name nl --model.net.after.at '{res4: [1]}'"),
    "validate": Command("nlvideo.cli", "clip level", "-c runs/nl/config.yaml --ckpt_path runs/nl/last.ckpt"),
    "test": Command("nlvideo.cli", "video level", "-c runs/nl/config.yaml --ckpt_path runs/nl/last.ckpt"),
    "predict": Command("nlvideo.predict_cli", "any video", "video.mp4 --ckpt_path runs/nl/last.ckpt"),
    "ablate": Command(
        "nlvideo.ablate_cli", "compare variants", "-c configs/demo.yaml --set 'model.net.after.at=none,nl1' -o runs/at"
    ),
    "report": Command("nlvideo.report_cli", "one page to look at", "runs/nl -o report.html"),
    "attend": Command("nlvideo.attend_cli", "attention maps", "video.mp4 --ckpt_path runs/nl/last.ckpt -o maps"),
    "attention-stats": Command(
        "nlvideo.attention_stats_cli",
        "statistics of attention over a test set",
        "-c runs/nl/config.yaml --ckpt_path runs/nl/last.ckpt -o stats",
    ),
    "places": Command("nlvideo.places_cli", "where blocks can stand, and their costs there", "-c configs/demo.yaml"),
    "recipes": Command("nlvideo.recipes_cli", "what -c takes by name, and its published numbers", ""),
    "demo-data": Command("nlvideo.demo_data_cli", "the demo's videos", "data/visitors"),
}
RUNS = ("fit", "validate", "test")  # one module serves them, which is told which

HELP = """\
nlvideo: non-local, squeeze-and-excitation and dual attention in C2D and I3D video networks

usage: nlvideo COMMAND [options]

{commands}

  nlvideo COMMAND --help      the options of a command
  nlvideo fit --help net      those of the network; its last lines name the other pages
  nlvideo fit ... --print_config      the whole configuration, without running it

Options come from YAML files (-c, several are merged) and from the command line, which wins.
--import my_blocks imports a module of yours: options can then name its classes, and so may checkpoints.
NLVIDEO_DEBUG=1 in the environment shows the stack trace of an error.
"""


def help_text() -> str:
    lines = []
    for name, command in COMMANDS.items():
        lines += [f"  {name:<16} {command.about}", f"{'':19}nlvideo {name} {command.example}".rstrip()]
    return HELP.format(commands="\n".join(lines))


def asked_for_help(args: list[str]) -> str | None:
    """Return what stands behind --help, "" for nothing, or None if it isn't there."""
    for argument, following in zip(args, [*args[1:], ""], strict=True):
        if argument in ("-h", "--help"):
            return "" if following.startswith("-") else following
    return None


def main(args: list[str] | None = None) -> int:
    """Run a command and return its exit status, see `exit_codes`."""
    args = sys.argv[1:] if args is None else args
    if not args or args[0] in ("-h", "--help"):
        print(help_text(), end="")
        return 0
    if args[0] == "--version":
        import nlvideo

        print(nlvideo.__version__)
        return 0
    if args[0] not in COMMANDS:
        near = did_you_mean(args[0], COMMANDS)
        print(f"nlvideo: no command {args[0]!r}; expected {', '.join(COMMANDS)}{near}", file=sys.stderr)
        return 2
    if args[0] in (*RUNS, "attention-stats") and (topic := asked_for_help(args)) is not None:
        from nlvideo.help_pages import help_page

        try:
            print(help_page(args[0], topic), end="")
        except ValueError as error:
            print(f"nlvideo {args[0]}: {error}", file=sys.stderr)
            return 2
        return 0
    # Threads that spin while they wait for work slow the decoding processes beside them, and each other, many times.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    search_working_directory()
    try:
        with long_imports():
            module = import_module(COMMANDS[args[0]].module)
        return module.main(args if args[0] in RUNS else args[1:]) or 0
    except KeyboardInterrupt:
        print("nlvideo: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        end = exit_code(error)
        if end is None or os.environ.get("NLVIDEO_DEBUG"):
            raise
        if end.line:
            print(f"nlvideo: {end.line}", file=sys.stderr)
        return end.status


if __name__ == "__main__":
    sys.exit(main())
