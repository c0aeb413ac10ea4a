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
import os
import sys
from pathlib import Path

from nlvideo.console import track
from nlvideo.data import formats
from nlvideo.data.manifest import relative_to, write_manifest
from nlvideo.data.prepare.check import probe
from nlvideo.data.prepare.worker_pool import WorkerFailure, run_each

TIMEOUT = 60  # seconds to open one video


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    subparsers = parser.add_subparsers(dest="format", required=True, metavar="FORMAT")
    arguments = {
        "kinetics": ("annotation", "classes"),
        "ssv2": ("annotation", "labels"),
        "ssv1": ("annotation", "labels"),
        "ucf101": ("annotation", "labels"),
        "hmdb51": ("annotation", "split", "part"),
        "folders": (),
        "list": ("annotation", "classes"),
    }
    read = {"ssv2": formats.something_v2, "ssv1": formats.something_v1, "list": formats.path_list}
    for name, needed in arguments.items():
        doc = read.get(name, getattr(formats, name, None)).__doc__
        sub = subparsers.add_parser(name, help=" ".join(doc.partition("\n\n")[0].split()), description=doc)
        if "annotation" in needed:
            sub.add_argument("annotation", type=Path, help="the published list of a split; for hmdb51 their folder")
        if "labels" in needed:
            sub.add_argument("labels", type=Path, help="the published list of classes")
        sub.add_argument("videos", type=Path, help="the folder of the videos, or of the folders of frames")
        sub.add_argument("manifest", type=Path, help="the CSV to write")
        if "classes" in needed:
            sub.add_argument("--classes", type=Path, help="class names, one a line, in the order of their labels")
        if "split" in needed:
            sub.add_argument("--split", type=int, choices=(1, 2, 3), default=1)
            sub.add_argument("--part", choices=("train", "test"), required=True)
        sub.add_argument("--no-probe", action="store_true", help="leave out num_frames and what follows it: faster")
        sub.add_argument("--keep-missing", action="store_true", help="also write videos that are not there")
        sub.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="default: %(default)s")
    return parser


def read_listing(options: argparse.Namespace) -> formats.Listing:
    classes = options.classes.read_text().splitlines() if getattr(options, "classes", None) else None
    if options.format == "kinetics":
        return formats.kinetics(options.annotation, options.videos, classes)
    if options.format == "list":
        return formats.path_list(options.annotation, options.videos, classes)
    if options.format == "hmdb51":
        return formats.hmdb51(options.annotation, options.videos, options.split, options.part)
    if options.format == "folders":
        return formats.folders(options.videos)
    read = {"ssv2": formats.something_v2, "ssv1": formats.something_v1, "ucf101": formats.ucf101}[options.format]
    return read(options.annotation, options.labels, options.videos)


def main() -> int:
    options = build_parser().parse_args()
    try:
        listing = read_listing(options)
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
    except (ValueError, OSError) as error:
        print(f"make_manifest: {error}", file=sys.stderr)
        return 1
    num_classes = len(listing.classes) if listing.classes else len({entry.label for entry in entries})
    print(f"{options.manifest}: {len(entries)} videos of {num_classes} classes")
    if len(there) < len(listing.entries):
        kept = "kept all the same" if options.keep_missing else "left out"
        print(f"{len(listing.entries) - len(there)} of {len(listing.entries)} videos are not there: {kept}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
