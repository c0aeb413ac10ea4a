"""Options of `fit`, `validate`, `test` and `attention-stats` that are neither the network's, the data's nor the
trainer's."""

from typing import Any, NamedTuple

from jsonargparse import ActionYesNo


class RunOption(NamedTuple):
    """An option of the command line.

    Attributes:
        help: what it does.
        settings: of jsonargparse's ``add_argument``.
        only: the command that it is for; "" for all.
    """

    help: str
    settings: dict[str, Any]
    only: str = ""


RUN_OPTIONS = {
    "name": RunOption(
        "The run's folder is runs_dir/name. validate, test: results go there; without either on the command line, to "
        "the checkpoint's folder.",
        {"type": str | None, "default": None},
    ),
    "runs_dir": RunOption("Where the folders of runs lie.", {"type": str, "default": "runs"}),
    "overwrite": RunOption("Begin anew in a folder that holds a run.", {"type": bool, "default": False}, "fit"),
    "checkpoint_minutes": RunOption(
        "last.ckpt is written each so many minutes of training, beside the ends of epochs.",
        {"type": float, "default": 30.0},
        "fit",
    ),
    "timeout_minutes": RunOption(
        "With several processes: one that waits longer for the others ends the run.", {"type": float, "default": 15.0}
    ),
    "resume": RunOption(
        "Go on with one that was stopped.",
        {"action": ActionYesNo(yes_prefix="", no_prefix="no_"), "default": False},
        "test",
    ),
    "lesion": RunOption(
        "Score the network with blocks off too, in the same decode. A row of the results each: a block (res4.1), "
        "several (res3.0+res4.1), all together, or each (a row a block). With :own_frame, :other_frames, :window3 "
        "(frames) or :uniform behind it, a block is restricted instead.",
        {"nargs": "+", "type": str, "default": []},
        "test",
    ),
    "probe": RunOption(
        "Score the clips with their frames rearranged too: shuffled, reversed, still, first_half, second_half, or all "
        "of these.",
        {"nargs": "+", "type": str, "default": []},
        "test",
    ),
}


STATS_OPTIONS = {
    "output": RunOption("Folder for the statistics.", {"type": str | None, "default": None}),
    "block": RunOption(
        "Blocks to measure, such as res4.1; all by default.", {"nargs": "+", "type": str, "default": []}
    ),
    "limit": RunOption(
        "Measure so many videos, drawn at random, always the same.", {"type": int | None, "default": None}
    ),
}


def add_options(parser: Any, options: dict[str, RunOption]) -> None:
    """Add options to a parser of jsonargparse."""
    for name, option in options.items():
        short = ["-o"] if name == "output" else []
        only = f"{option.only}: " if option.only else ""
        parser.add_argument(*short, f"--{name}", help=only + option.help, **option.settings)
