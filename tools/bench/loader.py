"""Clips a second from files to batches: this loader, decoding alone, pytorchvideo and torchcodec.

All read one random clip of 8 frames, every 8th, from each video and cut it to 224 x 224 pixels with scale jitter.
pytorchvideo's transforms do not import with today's torchvision, so its clips go through ours after its own reading
and sampling.

CPU milliseconds count all threads of the process and hardly depend on what else the machine does; clips a second are
by the clock.

examples:
  python tools/bench/loader.py videos/
  python tools/bench/loader.py videos/ --workers 8 --profile
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler

from nlvideo.data.formats import SUFFIXES
from nlvideo.data.manifest import Sample
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.train_dataset import TrainClips
from nlvideo.data.transforms import train_transform
from nlvideo.data.video import DecodeError, Video

FRAMES, STRIDE = 8, 8
SECONDS = FRAMES * STRIDE / 30  # of a clip, for those that count in seconds
SAMPLING = ClipSampling(FRAMES, STRIDE)
TRANSFORM = train_transform(224, short_side=(256, 320))


class ClipOf(Dataset):
    """read(path) of each file."""

    def __init__(self, files: list[Path], read: Callable[[Path], torch.Tensor]):
        self.files = files
        self.read = read

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.read(self.files[index])


def ours(files: list[Path]) -> Dataset:
    return TrainClips(
        [Sample(path, 0, str(path)) for path in files], sampling=SAMPLING, transform=TRANSFORM, mirrored=[0]
    )


def decode_alone(files: list[Path], decoder: str) -> Dataset:
    def read(path: Path) -> torch.Tensor:
        video = Video(path, decoder)
        return video.frames(SAMPLING.random(video.num_frames, video.fps, torch.rand(FRAMES).numpy()))

    return ClipOf(files, read)


def pyav_alone(files: list[Path]) -> Dataset:
    return decode_alone(files, "pyav")


def decord_alone(files: list[Path]) -> Dataset:
    return decode_alone(files, "decord")


def torchcodec(files: list[Path]) -> Dataset:
    from torchcodec.decoders import VideoDecoder
    from torchcodec.samplers import clips_at_random_indices

    def read(path: Path) -> torch.Tensor:
        decoder = VideoDecoder(str(path), num_ffmpeg_threads=1)
        clips = clips_at_random_indices(decoder, num_frames_per_clip=FRAMES, num_indices_between_frames=STRIDE)
        return TRANSFORM(clips.data[0])

    return ClipOf(files, read)


def pytorchvideo(files: list[Path], decoder: str = "pyav") -> Dataset:
    from pytorchvideo.data import LabeledVideoDataset, make_clip_sampler

    def transform(sample: dict) -> torch.Tensor:
        video = sample["video"]  # float32 [C, T, H, W], every frame of the clip
        chosen = torch.linspace(0, video.shape[1] - 1, FRAMES).long()  # its UniformTemporalSubsample
        return TRANSFORM(video[:, chosen].to(torch.uint8).transpose(0, 1))

    return LabeledVideoDataset(
        [(str(path), {"label": 0}) for path in files],
        make_clip_sampler("random", SECONDS),
        RandomSampler,
        transform,
        decode_audio=False,
        decoder=decoder,
    )


def pytorchvideo_decord(files: list[Path]) -> Dataset:
    return pytorchvideo(files, "decord")


VARIANTS = {
    "nlvideo": ours,
    "decoding alone (PyAV)": pyav_alone,
    "decoding alone (decord)": decord_alone,
    "torchcodec clip sampler": torchcodec,
    "pytorchvideo, PyAV": pytorchvideo,
    "pytorchvideo, decord": pytorchvideo_decord,
}


def clips(dataset: Dataset, workers: int) -> Iterator[torch.Tensor]:
    return iter(DataLoader(dataset, batch_size=None, num_workers=workers))


def measure(make: Callable[[list[Path]], Dataset], files: list[Path], workers: int) -> tuple[float, float]:
    """CPU seconds a clip in this process, and clips a second with `workers` processes."""
    for _ in zip(range(3), clips(make(files), 0), strict=False):
        pass  # imports and caches
    start = time.process_time()
    count = sum(1 for _ in clips(make(files), 0))
    cpu_seconds = (time.process_time() - start) / count
    loader = clips(make(files), workers)
    next(loader)  # the processes have started
    start = time.perf_counter()
    count = sum(1 for _ in loader)
    return cpu_seconds, count / (time.perf_counter() - start)


def profile(files: list[Path], device: str) -> dict[str, float]:
    """CPU seconds a clip of each step of this loader."""
    spent = dict.fromkeys(("open", "seek, decode, convert", "transform", "transfer"), 0.0)

    def timed(name: str, call: Callable) -> Callable:
        def wrapper(*args, **kwargs):
            start = time.process_time()
            result = call(*args, **kwargs)
            spent[name] += time.process_time() - start
            return result

        return wrapper

    Video.__init__ = timed("open", Video.__init__)
    Video.frames = timed("seek, decode, convert", Video.frames)
    dataset = ours(files)
    dataset.transform = timed("transform", dataset.transform)
    move = timed("transfer", lambda video: video.to(device))
    for index in range(len(files)):
        move(dataset[index].video)
    return {name: seconds / len(files) for name, seconds in spent.items()}


def readable(paths: list[Path]) -> list[Path]:
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    good = []
    for file in files:
        try:
            if file.suffix.lower() in SUFFIXES and Video(file, "decord").num_frames > FRAMES * STRIDE:
                decord_alone([file])[0]
                good.append(file)
        except DecodeError:
            continue
    return good


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path, help="files, and folders of them")
    parser.add_argument("--clips", type=int, default=60, help="clips a measurement (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="the median counts (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    parser.add_argument("--profile", action="store_true", help="also split this loader's time into its steps")
    return parser


def main() -> None:
    options = build_parser().parse_args()
    torch.set_num_threads(1)  # as in a DataLoader's worker
    videos = readable(options.videos)
    files = (videos * (options.clips // len(videos) + 1))[: options.clips]
    print(f"{len(files)} clips of {len(videos)} videos: {', '.join(path.name for path in videos)}\n")

    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in VARIANTS}
    missing = {}
    for _ in range(options.repeats):  # turn by turn, so that a busy moment hits all alike
        for name, make in VARIANTS.items():
            try:
                measured[name].append(measure(make, files, options.workers))
            except Exception as error:  # a peer that fails is a row with its error, whatever that is
                missing[name] = f"{type(error).__name__}: {error}".strip().partition("\n")[0]
    print(f"| | CPU ms a clip | clips/s, {options.workers} workers |\n|---|---|---|")
    for name, values in measured.items():
        if name in missing:
            print(f"| {name} | not measured: {missing[name]} | |")
        else:
            cpu_seconds, rate = (median(column) for column in zip(*values, strict=True))
            print(f"| {name} | {cpu_seconds * 1e3:.1f} | {rate:.1f} |")
    if options.profile:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        steps = profile(files, device)
        print(f"\n| step | CPU ms a clip | |\n|---|---|---|   (transfer: to {device})")
        for name, seconds in steps.items():
            print(f"| {name} | {seconds * 1e3:.1f} | {seconds / sum(steps.values()):.0%} |")


if __name__ == "__main__":
    main()
