"""``nlvideo demo-data``: write the embedded data set "visitors": short videos, classified by how many different
visitors appear, or by who came first.

examples:
  nlvideo demo-data data/visitors
  nlvideo demo-data data/visitors_order --task order
  nlvideo demo-data data/visitors_hard --colours 6 --min-visit 6
"""

import argparse
import os

from nlvideo.console import progress_bar
from nlvideo.visitors import dataset as visitors
from nlvideo.visitors.scene import COLOURS, MAX_VISIT_FRAMES, NUM_CLASSES, STANDARD, TASKS, VisitorOptions


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nlvideo demo-data",
        description=__doc__.removeprefix("``nlvideo demo-data``: "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("folder", help="where to write; made if missing, left alone if it holds these videos already")
    add(
        "--task",
        choices=TASKS,
        default=STANDARD.task,
        help="how many visitors, or who came first (default: %(default)s)",
    )
    size = f"videos, equally many of each of the {NUM_CLASSES} classes (default: %(default)s)"
    add("--num-train", type=int, default=visitors.NUM_TRAIN, metavar="N", help=f"training {size}")
    add("--num-val", type=int, default=visitors.NUM_VAL, metavar="N", help=f"validation {size}")
    add("--train-seed", type=int, default=visitors.TRAIN_SEED, metavar="N", help="default: %(default)s")
    add("--val-seed", type=int, default=visitors.VAL_SEED, metavar="N", help="default: %(default)s")
    add("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: all cores)")
    add("--overwrite", action="store_true", help="replace videos made with other settings")
    harder = parser.add_argument_group("harder forms").add_argument
    colours = f"{NUM_CLASSES} to {len(COLOURS)} (default: %(default)s)"
    harder("--colours", type=int, default=STANDARD.num_colours, metavar="N", help=colours)
    shortest = f"the shortest visit; the longest is {MAX_VISIT_FRAMES} frames (default: %(default)s)"
    harder("--min-visit", type=int, default=STANDARD.min_visit_frames, metavar="FRAMES", help=shortest)
    return parser


def make(arguments: argparse.Namespace) -> visitors.DatasetInfo:
    with progress_bar() as progress:

        def advance(num_done: int, num_total: int) -> None:
            if not progress.task_ids:  # first now, so that there is no bar where there is nothing to do
                progress.add_task("videos", total=num_total)
            progress.update(progress.task_ids[0], completed=num_done)

        return visitors.make_visitors(
            arguments.folder,
            num_train=arguments.num_train,
            num_val=arguments.num_val,
            train_seed=arguments.train_seed,
            val_seed=arguments.val_seed,
            options=VisitorOptions(arguments.task, arguments.colours, arguments.min_visit),
            workers=arguments.workers,
            overwrite=arguments.overwrite,
            on_progress=advance,
        )


def main(args: list[str] | None = None) -> None:
    """Run the command.

    Args:
        args: the command line; None takes sys.argv's.
    """
    made = make(build_parser().parse_args(args))
    done = "already there" if made.was_there else "written, with train.csv, val.csv and classes.txt"
    print(f"{made.folder}: {made.num_videos} videos {done}")
    print(f"what they look like: {made.folder / 'contact_sheet.png'}")
