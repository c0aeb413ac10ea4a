"""Clips per second from video files to tensors: nlvideo's loader, its decoders alone, and other codebases.

Every row reads one random clip of 8 frames, every 8th, of each video. Those that are not "alone" also cut it to
224 x 224 pixels with scale jitter and mirror every other clip. pytorchvideo's transforms do not import with today's
torchvision, so its clips go through torchvision's.

CPU milliseconds count all threads of a process that decodes, one clip of each row in turn, and hardly depend on what
else the machine does. Clips per second are by the clock, with that many DataLoader workers. A row that cannot be
measured, such as a codebase that is not installed, says why.

examples:
  python tools/bench/loader.py videos/
  python tools/bench/loader.py videos/ --clips 200 --workers 1 2 8
"""

import argparse
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median

import torch
from loader_rows import FRAMES, INTERVAL, ROWS, Make

from nlvideo.data.video import DecodeError, Video

SUFFIXES = {".mp4", ".mov", ".mkv", ".webm"}


def measure_cpu(make: dict[str, Make], files: list[Path], attempt: Callable) -> dict[str, list[float]]:
    """Return the CPU milliseconds of each clip, by row."""
    iterators = {name: attempt(name, lambda name=name: iter(make[name](files, 0))) for name in make}
    milliseconds: dict[str, list[float]] = {name: [] for name in make}
    for i in range(len(files)):
        for name in random.Random(i).sample([*make], len(make)):  # what one leaves in the caches hits all alike
            start = time.process_time()
            attempt(name, lambda name=name: next(iterators[name]))
            if i:  # the first clip imports and caches
                milliseconds[name].append((time.process_time() - start) * 1e3)
    return milliseconds


def clips_per_second(make: Make, files: list[Path], workers: int) -> float:
    loader = iter(make(files, workers))
    next(loader)  # the workers have started
    start = time.perf_counter()
    return sum(1 for _ in loader) / (time.perf_counter() - start)


def readable(paths: list[Path]) -> list[Path]:
    """Return the videos that decord reads rightly and that are longer than a clip."""
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    good = []
    for file in files:
        try:
            if file.suffix.lower() in SUFFIXES and Video(file, "decord").num_frames > FRAMES * INTERVAL:
                good.append(file)
        except DecodeError:
            continue
    return good


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path, help="files, and folders of them")
    parser.add_argument("--clips", type=int, default=60, help="clips a measurement (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="by the clock; the median counts (default: %(default)s)")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2], help="DataLoader workers (default: 1 2)")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="some only (default: all)")
    return parser


def main() -> None:
    options = build_parser().parse_args()
    torch.set_num_threads(1)  # as in a DataLoader's worker
    videos = readable(options.videos)
    if not videos:
        raise SystemExit("loader: no video of more than 64 frames that decord reads")
    files = (videos * (options.clips // len(videos) + 1))[: options.clips]
    print(f"{len(files)} clips of {len(videos)} videos: {', '.join(path.name for path in videos)}\n")
    rows = {name: ROWS[name] for name in options.rows}
    errors: dict[str, str] = {}

    def attempt(name: str, call: Callable[[], object]) -> object:
        """Return call(); after the first error of a row, nothing."""
        if name not in errors:
            try:
                return call()
            except Exception as error:  # of any kind: the row says it
                errors[name] = f"{type(error).__name__}: {error}".strip().partition("\n")[0]
        return None

    cpu = measure_cpu(rows, files, attempt)
    rates = {
        (name, workers, i): attempt(name, lambda make=make, workers=workers: clips_per_second(make, files, workers))
        for i in range(options.repeats)  # in turns, so that a busy moment hits all alike
        for workers in options.workers
        for name, make in rows.items()
    }
    print("| | CPU ms a clip | median | " + " | ".join(f"clips/s, {n} workers" for n in options.workers) + " |")
    print("|" + "---|" * (3 + len(options.workers)))
    for name in rows:
        if name in errors:
            cells = [f"not measured: {errors[name]}"] + [""] * (1 + len(options.workers))
        else:
            medians = [median(rates[name, n, i] for i in range(options.repeats)) for n in options.workers]
            cells = [f"{number:.1f}" for number in (mean(cpu[name]), median(cpu[name]), *medians)]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
