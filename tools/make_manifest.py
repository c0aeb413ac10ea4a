"""Write our manifest (path,label,id,num_frames,fps,width,height,duration) from a data set as it is published.

examples:
  python tools/make_manifest.py kinetics kinetics-400_val.csv k400/val data/k400/val.csv
  python tools/make_manifest.py ssv2 something-something-v2-train.json something-something-v2-labels.json \\
      20bn-something-something-v2 data/ssv2/train.csv
  python tools/make_manifest.py ucf101 trainlist01.txt classInd.txt UCF-101 data/ucf101/train.csv
  python tools/make_manifest.py hmdb51 testTrainMulti_7030_splits hmdb51 data/hmdb51/train.csv --split 1 --part train
  python tools/make_manifest.py folders my_videos data/mine/train.csv
"""

import argparse
import inspect
import os
import sys
from pathlib import Path

from nlvideo.console import track
from nlvideo.data import formats
from nlvideo.data.manifest import relative_to, write_manifest
from nlvideo.data.prepare.check import probe
from nlvideo.data.prepare.worker_pool import WorkerFailure, run_each
from nlvideo.exit_codes import script

TIMEOUT = 60  # seconds to open one video

# A new format is one function in nlvideo.data.formats and one line here.
FORMATS = {
    "kinetics": formats.kinetics,
    "ssv2": formats.something_v2,
    "ssv1": formats.something_v1,
    "ucf101": formats.ucf101,
    "hmdb51": formats.hmdb51,
    "folders": formats.folders,
    "list": formats.path_list,
}


def read_lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines()


# What a function's parameters are on the command line.
ARGUMENTS = {
    "annotation": {"type": Path, "help": "the published list of a split; for hmdb51 their folder"},
    "labels": {"type": Path, "help": "the published list of classes"},
    "videos": {"type": Path, "help": "the folder of the videos, or of the folders of frames"},
    "split": {"type": int, "choices": (1, 2, 3), "default": 1},
    "part": {"choices": ("train", "test"), "required": True},
    "classes": {"type": read_lines, "help": "a file of class names, one a line, in the order of their labels"},
}
OPTIONS = ("split", "part", "classes")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    subparsers = parser.add_subparsers(dest="format", required=True, metavar="FORMAT")
    for name, read in FORMATS.items():
        first_lines = " ".join(read.__doc__.partition("\n\n")[0].split())
        sub = subparsers.add_parser(name, help=first_lines, description=read.__doc__)
        for parameter in inspect.signature(read).parameters:
            sub.add_argument(f"--{parameter}" if parameter in OPTIONS else parameter, **ARGUMENTS[parameter])
        sub.add_argument("manifest", type=Path, help="the CSV to write")
        sub.add_argument("--no-probe", action="store_true", help="leave out num_frames and what follows it: faster")
        sub.add_argument("--keep-missing", action="store_true", help="also write videos that are not there")
        sub.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="default: %(default)s")
    return parser


@script
def main() -> None:
    options = build_parser().parse_args()
    read = FORMATS[options.format]
    listing = read(**{parameter: getattr(options, parameter) for parameter in inspect.signature(read).parameters})
    there = {entry.path for entry in listing.entries if entry.path.exists()}
    entries = [entry for entry in listing.entries if options.keep_missing or entry.path in there]
    if not entries:
        first = f"; the first is {listing.entries[0].path}" if listing.entries else ""
        raise ValueError(f"{options.videos}: none of the {len(listing.entries)} videos is there{first}")
    found = {}
    if not options.no_probe:
        probed = run_each(probe, sorted(there), workers=options.workers, timeout=TIMEOUT)
        found = dict(track(probed, "reading headers", total=len(there)))
    rows = []
    for path, label, name in entries:
        details = found.get(path) or {}
        details = {} if isinstance(details, WorkerFailure) else details
        rows.append({"path": relative_to(path, options.manifest.parent), "label": label, "id": name, **details})
    write_manifest(options.manifest, rows, listing.classes)
    num_classes = len(listing.classes) if listing.classes else len({entry.label for entry in entries})
    print(f"{options.manifest}: {len(entries)} videos of {num_classes} classes")
    if len(there) < len(listing.entries):
        kept = "kept all the same" if options.keep_missing else "left out"
        print(f"{len(listing.entries) - len(there)} of {len(listing.entries)} videos are not there: {kept}")


if __name__ == "__main__":
    sys.exit(main())
