"""Re-encode the videos of a data set so that clips are decoded sooner: H.264, short side 256, a key frame every 16
frames.

Frame i stays frame i, so every sampling takes the same frames as before. Run it again and it goes on where it stopped.

examples:
  python tools/transcode.py data/k400/val.csv data/k400_256 --short-side 256 --gop 16
  -> data/k400_256/val.csv and the videos beside it
  python tools/transcode.py videos/train videos_256
  -> of a folder for each class: the same folders in videos_256, and videos_256/train.csv
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

from nlvideo.console import track
from nlvideo.data.manifest import Sample, read_manifest, write_manifest
from nlvideo.data.prepare.transcode import transcode
from nlvideo.data.prepare.worker_pool import WorkerFailure, run_each
from nlvideo.data.splits import read_folder
from nlvideo.exit_codes import script


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("source", type=Path, help="a manifest, or a folder that has a folder for each class")
    parser.add_argument("folder", type=Path, help="where the new videos and their manifest go")
    parser.add_argument("--root", type=Path, help="where relative paths start (default: the manifest's folder)")
    parser.add_argument("--short-side", type=int, default=256, help="pixels, none are enlarged (default: %(default)s)")
    parser.add_argument("--gop", type=int, default=16, help="frames from key frame to key frame (default: %(default)s)")
    parser.add_argument("--crf", type=int, default=23, help="x264's quality, less is better (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one video (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    return parser


def targets(samples: list[Sample], root: Path, folder: Path) -> dict[Path, Path]:
    """Return the new path of each video: as below `root`, or its whole path. Files that are not .mp4 get a second
    suffix, since a.avi and a.mp4 may be two videos."""
    places = {}
    for path, _, _ in samples:
        place = path.relative_to(root) if path.is_relative_to(root) else Path(*path.absolute().parts[1:])
        places[path] = folder / place.with_name(place.name if place.suffix == ".mp4" else f"{place.name}.mp4")
    return places


@script
def main() -> None:
    options = build_parser().parse_args()
    if options.source.is_dir():
        (samples, classes), root = read_folder(options.source), options.source
        manifest = options.folder / f"{options.source.absolute().name}.csv"
    else:
        samples, root = read_manifest(options.source, root=options.root), options.root or options.source.parent
        names = options.source.parent / "classes.txt"
        classes = names.read_text().splitlines() if names.is_file() else None
        manifest = options.folder / options.source.with_suffix(".csv").name
    places = targets(samples, root, options.folder)
    todo = [pair for pair in places.items() if not pair[1].is_file()]
    if len(todo) < len(places):
        print(f"{len(places) - len(todo)} of {len(places)} videos were there before")
    call = partial(transcode, short_side=options.short_side, gop=options.gop, crf=options.crf)
    failed = {}
    results = run_each(call, todo, workers=options.workers, timeout=options.timeout)
    for (source, _), result in track(results, "transcoding", total=len(todo)):
        if message := result.message if isinstance(result, WorkerFailure) else result:
            failed[source] = message
    done = [sample for sample in samples if sample.path not in failed]
    rows = [
        {"path": places[path].relative_to(options.folder), "label": label, "id": path.stem} for path, label, _ in done
    ]
    write_manifest(manifest, rows, classes)
    for source, message in failed.items():
        print(f"left out: {source}: {message}")
    before = sum(sample.path.stat().st_size for sample in done)
    after = sum(places[sample.path].stat().st_size for sample in done)
    print(f"{before / 1e6:.1f} MB became {after / 1e6:.1f} MB")
    print(f"{manifest}: {len(done)} of {len(samples)} videos")


if __name__ == "__main__":
    sys.exit(main())
