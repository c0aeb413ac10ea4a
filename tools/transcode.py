"""Re-encode the videos of a manifest so that clips are decoded sooner: H.264, short side 256, a key frame every 16
frames.

Frame i stays frame i, so every sampling takes the same frames as before. Run it again and it goes on where it stopped.

example:
  python tools/transcode.py data/k400/val.csv data/k400_256 --short-side 256 --gop 16
  -> data/k400_256/val.csv and the videos beside it
"""

import argparse
import os
import random
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

from nlvideo.console import track
from nlvideo.data.manifest import Sample, read_manifest, write_manifest
from nlvideo.data.prepare.transcode import transcode
from nlvideo.data.prepare.worker_pool import WorkerFailure, run_each
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.video import DecodeError, Video

MEASURED = 20  # videos whose decoding is timed before and after


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("manifest", type=Path)
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


def seconds_a_clip(paths: list[Path]) -> float:
    """Return the mean CPU seconds to open a video and decode a random 8x8 clip of it."""
    rng = random.Random(0)
    sampling = ClipSampling(8, 8)
    start = time.process_time()
    for path in paths:
        video = Video(path)
        video.frames(sampling.random(video.num_frames, 0, np.full(8, rng.random())))
    return (time.process_time() - start) / len(paths)


def main() -> int:
    options = build_parser().parse_args()
    try:
        samples = read_manifest(options.manifest, 1_000_000, options.root)
        places = targets(samples, options.root or options.manifest.parent, options.folder)
        todo = [pair for pair in places.items() if not pair[1].is_file()]
        if len(todo) < len(places):
            print(f"{len(places) - len(todo)} of {len(places)} videos were there before")
        call = partial(transcode, short_side=options.short_side, gop=options.gop, crf=options.crf)
        failed = {}
        results = run_each(call, todo, workers=options.workers, timeout=options.timeout)
        for (source, _), result in track(results, "transcoding", total=len(todo)):
            if isinstance(result, WorkerFailure):
                failed[source] = f"{source}: {result.message}"
            elif result.message:
                failed[source] = result.message
        done = [sample for sample in samples if sample.path not in failed]
        classes = options.manifest.parent / "classes.txt"
        write_manifest(
            options.folder / options.manifest.with_suffix(".csv").name,
            (
                {
                    "path": places[sample.path].relative_to(options.folder),
                    "label": sample.label,
                    "id": sample.path.stem,
                }
                for sample in done
            ),
            classes.read_text().splitlines() if classes.is_file() else None,
        )
    except (ValueError, OSError) as error:
        print(f"transcode: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("transcode: interrupted; run it again to go on", file=sys.stderr)
        return 130
    for message in failed.values():
        print(f"left out: {message}")
    if done:
        report(done, places)
    print(f"{options.folder / options.manifest.with_suffix('.csv').name}: {len(done)} of {len(samples)} videos")
    return 0


def report(done: list[Sample], places: dict[Path, Path]) -> None:
    before = sum(sample.path.stat().st_size for sample in done)
    after = sum(places[sample.path].stat().st_size for sample in done)
    print(f"{before / 1e6:.1f} MB became {after / 1e6:.1f} MB")
    measured = random.Random(0).sample(done, min(MEASURED, len(done)))
    try:
        old = seconds_a_clip([sample.path for sample in measured])
        new = seconds_a_clip([places[sample.path] for sample in measured])
    except DecodeError as error:
        print(f"decoding was not measured: {error}")
        return
    print(f"a random 8x8 clip: {old * 1e3:.0f} ms before, {new * 1e3:.0f} ms now, {old / new:.1f} times as fast")


if __name__ == "__main__":
    sys.exit(main())
