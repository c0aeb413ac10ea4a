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
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean, median

import torch
from loader_rows import FRAMES, INTERVAL, ROWS, Make

from nlvideo.data.video import DecodeError, Video

SUFFIXES = {".mp4", ".mov", ".mkv", ".webm"}


class Rows:
    """What was measured of each row: CPU milliseconds of each clip, clips per second by number of workers, errors."""

    def __init__(self):
        self.cpu: dict[str, list[float]] = {name: [] for name in ROWS}
        self.rates: dict[tuple[str, int], list[float]] = {}
        self.errors: dict[str, str] = {}

    def attempt(self, name: str, call: Callable[[], object]) -> object:
        """Return call(), or None after an error, which is noted: the row is left out from then on."""
        if name in self.errors:
            return None
        try:
            return call()
        except Exception as error:
            self.errors[name] = f"{type(error).__name__}: {error}".strip().partition("\n")[0]
            return None


def measure_cpu(rows: Rows, files: list[Path]) -> None:
    iterators: dict[str, Iterator] = {}
    for name, make in ROWS.items():
        for _ in range(2):  # the first time imports and caches
            iterators[name] = rows.attempt(name, lambda make=make: iter(make(files, 0)))
            rows.attempt(name, lambda name=name: next(iterators[name]))
    for _ in range(len(files) - 1):
        for name, iterator in iterators.items():
            start = time.process_time()
            clip = rows.attempt(name, lambda iterator=iterator: next(iterator))
            if clip is not None:
                rows.cpu[name].append((time.process_time() - start) * 1e3)


def measure_rate(rows: Rows, files: list[Path], workers: int) -> None:
    def rate(make: Make) -> float:
        loader = iter(make(files, workers))
        next(loader)  # the workers have started
        start = time.perf_counter()
        count = sum(1 for _ in loader)
        return count / (time.perf_counter() - start)

    for name, make in ROWS.items():
        measured = rows.attempt(name, lambda make=make: rate(make))
        if measured is not None:
            rows.rates.setdefault((name, workers), []).append(measured)


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
    return parser


def main() -> None:
    options = build_parser().parse_args()
    torch.set_num_threads(1)  # as in a DataLoader's worker
    videos = readable(options.videos)
    if not videos:
        raise SystemExit("loader: no video of more than 64 frames that decord reads")
    files = (videos * (options.clips // len(videos) + 1))[: options.clips]
    print(f"{len(files)} clips of {len(videos)} videos: {', '.join(path.name for path in videos)}\n")
    rows = Rows()
    measure_cpu(rows, files)
    for _ in range(options.repeats):  # in turns, so that a busy moment hits all alike
        for workers in options.workers:
            measure_rate(rows, files, workers)
    columns = [f"clips/s, {workers} worker{'s' * (workers > 1)}" for workers in options.workers]
    print("| " + " | ".join(["", "CPU ms a clip", "median", *columns]) + " |\n|" + "---|" * (3 + len(columns)))
    for name in ROWS:
        if name in rows.errors:
            print(f"| {name} | not measured: {rows.errors[name]} |" + " |" * (1 + len(columns)))
        else:
            cells = [f"{mean(rows.cpu[name]):.1f}", f"{median(rows.cpu[name]):.1f}"]
            cells += [f"{median(rows.rates[name, workers]):.1f}" for workers in options.workers]
            print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
