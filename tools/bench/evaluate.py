"""Benchmark a test at video level: a straightforward pytorchvideo pipeline against ours, and protocols side by side.

The pipeline decodes each view on its own and runs it alone, in float32; its stem, bottlenecks and non-local blocks are
pytorchvideo's. Ours reads a video once, folds norms and puts channels last. Both have the same weights (random: numbers
agree, accuracies mean nothing), the same frames and the same resize, so with protocol nln the scores must agree. A row
that fails shows its error.

examples:
  python tools/bench/evaluate.py                      the sample videos, or two that it makes
  python tools/bench/evaluate.py videos/ --arch i3d --num-videos 5
  python tools/bench/evaluate.py --host-memory        of a loading worker: 10 x 3 x 128 frames of a long, large video
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from peers import Pytorchvideo
from pytorchvideo.data.encoded_video import EncodedVideo
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nlvideo.blocks import NonLocal
from nlvideo.console import console
from nlvideo.cost.count import count_cost
from nlvideo.data.eval_dataset import DecodedVideo, EvalVideos, ViewSpec, collate_readable
from nlvideo.data.formats import SUFFIXES
from nlvideo.data.manifest import Sample
from nlvideo.data.prepare.encode import write_video
from nlvideo.data.protocols import PROTOCOLS, doubled_offsets, nln_clips
from nlvideo.data.reading import read_eval_clips
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.transforms import normalize, resize_short_side
from nlvideo.data.video import DecodeError, Video
from nlvideo.evaluation.multi_view import score_views
from nlvideo.models import Insert, ResNet3d
from nlvideo.models.inference import inference_copy

FRAMES, STRIDE, CROPS = 8, 8, 3
MEAN, STD = 0.45, 0.225
# The peer's first; scores are compared within protocol nln.
ROWS = [
    ("pytorchvideo", "nln", "float32"),
    ("nlvideo", "nln", "float32"),
    ("nlvideo", "nln", "bfloat16"),
    ("nlvideo", "full", "float32"),
    ("nlvideo", "full", "bfloat16"),
    ("nlvideo", "slowfast", "bfloat16"),
    ("nlvideo", "mmaction", "bfloat16"),
    ("nlvideo", "uniform", "bfloat16"),
]

Read = Callable[[Path], Tensor]  # a video -> its scores [K]


def pytorchvideo_pipeline(net: ResNet3d, options: argparse.Namespace) -> Read:
    def read(path: Path) -> Tensor:
        opened = Video(path)
        scores = []
        for clip in nln_clips(ClipSampling(FRAMES, STRIDE), options.clips, opened.num_frames):
            for crop in range(CROPS):
                frames = resize_short_side(decoded(path, clip, opened.fps), options.side)  # (T, 3, H, W)
                height, width = frames.shape[-2:]
                offset = doubled_offsets(max(height, width) - options.side, CROPS)[crop]
                top, left = (0, offset) if width >= height else (offset, 0)
                view = frames[..., top : top + options.side, left : left + options.side].transpose(0, 1)[None]
                scores.append(net.scores(normalize(view.to(options.device), MEAN, STD), options.trained_side)[0])
        return torch.stack(scores).mean(dim=0).cpu()

    return read


def decoded(path: Path, clip: np.ndarray, fps: float) -> Tensor:
    """uint8 [T, 3, H, W], with pytorchvideo's reader: the seconds that the clip spans; past the end it begins anew."""
    parts = []
    for part in np.split(clip, np.flatnonzero(np.diff(clip) < 0) + 1):
        seconds = ((part[0] - 0.5) / fps, (part[-1] + 0.5) / fps)
        video = EncodedVideo.from_path(path, decode_audio=False).get_clip(max(seconds[0], 0.0), seconds[1])["video"]
        parts.append(video[:, torch.from_numpy(part - part[0])].to(torch.uint8).transpose(0, 1))
    return torch.cat(parts)


def ours(net: ResNet3d, protocol: str, options: argparse.Namespace) -> Read:
    reading = {"short_side": options.side, "num_clips": options.clips, "protocol": protocol}
    views, normalize_views = views_of(protocol, options), partial(normalize, mean=MEAN, std=STD)

    def read(path: Path) -> Tensor:
        frames, clips, _ = read_eval_clips(path, sampling=ClipSampling(FRAMES, STRIDE), **reading)
        video = DecodedVideo(frames.to(options.device), clips, label=0, index=0)
        (scores,) = score_views(
            net, [video], views, normalize=normalize_views, views_per_forward=options.views_per_forward
        )
        return scores.mean(dim=0)

    return read


def views_of(protocol: str, options: argparse.Namespace) -> ViewSpec:
    crop, num_crops = (None, 1) if protocol == "full" else (options.side, CROPS)
    trained_side = options.trained_side if PROTOCOLS[protocol].slides else None
    return ViewSpec(slice(1, None), crop, num_crops, protocol, trained_side)


def networks(options: argparse.Namespace) -> tuple[ResNet3d, ResNet3d]:
    """Ours, and one of pytorchvideo's blocks with the same weights."""
    torch.manual_seed(0)
    ours = Insert(partial(NonLocal, init_std=None), options.at)  # the paper's start would add almost nothing
    net = ResNet3d(options.arch, options.depth, width=options.width, after=ours).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):  # blocks start as the identity: give them something to say
            nn.init.uniform_(module.weight, 0.5, 1.0)
    blocks = Insert(partial(Pytorchvideo, subsample=True), options.at)
    theirs = ResNet3d(options.arch, options.depth, width=options.width, after=blocks).eval()
    theirs.load_state_dict({name.replace(".after.", ".after.block."): v for name, v in net.state_dict().items()})
    return net.to(options.device), theirs.to(options.device)


def measure(options: argparse.Namespace, videos: list[Path]) -> None:
    net, theirs = networks(options)
    copies = {dtype: inference_copy(net, getattr(torch, dtype)) for dtype in ("float32", "bfloat16")}
    with torch.device("meta"):
        meta = ResNet3d(options.arch, options.depth, width=options.width, after=Insert(NonLocal, options.at))
    table = Table("", "protocol", "dtype", "GMACs a video", "s a video", "times faster", "scores differ by")
    about = f"{options.arch} R{options.depth}, {options.at}: {len(videos)} videos, {options.clips} clips each"
    table.title = f"{about}, on {options.device}"
    peer = None
    for whose, protocol, dtype in ROWS:
        row = f"{whose} {protocol} {dtype}"
        peers = whose == "pytorchvideo"
        read = pytorchvideo_pipeline(theirs, options) if peers else ours(copies[dtype], protocol, options)
        try:
            started = time.perf_counter()
            scores = torch.stack([read(path) for path in videos])
            seconds = (time.perf_counter() - started) / len(videos)
        except Exception as error:  # a peer may fail on a video, and the others still be measured
            table.add_row(whose, protocol, dtype, "", f"{type(error).__name__}: {error}", "", "")
            console().print(f"{row}: {type(error).__name__}: {error}")
            continue
        peer = (seconds, scores) if peers else peer
        table.add_row(
            whose,
            protocol,
            dtype,
            f"{np.mean([gmacs(meta, path, protocol, options) for path in videos]):,.4g}",
            f"{seconds:.2f}",
            f"{peer[0] / seconds:.2f}" if peer else "",
            f"{(scores - peer[1]).abs().max():.1e}" if peer and protocol == "nln" else "",
        )
        console().print(f"{row}: {seconds:.2f} s a video")
    console().print(table)


def gmacs(net: ResNet3d, path: Path, protocol: str, options: argparse.Namespace) -> float:
    height, width = resize_short_side(Video(path).frames(np.array([0])), options.side).shape[-2:]
    boxes = views_of(protocol, options).boxes(height, width)
    return options.clips * len(boxes) * count_cost(net, (FRAMES, *boxes[0][2:])).gmacs


def usable(paths: list[Path], folder: Path, count: int) -> list[Path]:
    """The first `count` videos of at least a clip's length; made ones if there are none."""
    found = []
    for path in paths:
        for file in [path] if path.is_file() else sorted(path.iterdir()):
            try:
                if file.suffix in SUFFIXES and Video(file).num_frames >= FRAMES * STRIDE:
                    found.append(file)
            except DecodeError:
                continue  # the sample videos hold broken ones on purpose
    return found[:count] or [noise(folder / f"{i}.mp4", 300, 256, 340) for i in range(count)]


def noise(path: Path, num_frames: int, height: int, width: int) -> Path:
    """Blocks of colour that move: as hard to decode as film, not as hard as noise."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    frames = (np.roll(picture, (i, 2 * i), (0, 1))[:height, :width] for i in range(num_frames))
    write_video(path, frames, 30, gop=250)
    return path


def host_memory(folder: Path, options: argparse.Namespace) -> None:
    """Peak memory of a loading worker, the libraries that it imports counted."""
    height, width = 5 * options.side // 2 // 2 * 2, 5 * options.side
    path = noise(folder / "long.mp4", options.long_frames, height, width)
    sampling, clips = ClipSampling(128, 1), options.clips
    reader = EvalVideos(
        [Sample(path, 0, path.name)], sampling=sampling, short_side=options.side, num_clips=clips, protocol="nln"
    )
    context = {"num_workers": 1, "multiprocessing_context": "spawn", "prefetch_factor": 1}
    ((video,),) = DataLoader(reader, batch_size=1, collate_fn=collate_readable, **context)
    num_frames, _, *held_size = video.frames.shape
    held, as_views = video.frames.numel() / 2**30, video.clips[1:].numel() * CROPS * 3 * options.side**2 / 2**30
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    console().print(
        f"{options.long_frames:,} frames of {width} x {height}, {clips} clips of 128 frames: {num_frames} frames of "
        f"{held_size[1]} x {held_size[0]} held once, {held:.2f} GiB; as {CROPS} crops of each clip they would be "
        f"{as_views:.2f} GiB. Peak of the worker: {peak:.2f} GiB"
    )


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("videos", nargs="*", type=Path, help="files or folders (default: $NLVIDEO_SAMPLE_VIDEOS, or made ones)")
    add("--arch", default="c2d", help="c2d or i3d (default: %(default)s)")
    add("--depth", type=int, default=50, help="default: %(default)s")
    add("--width", type=int, default=64, help="channels of the stem (default: %(default)s)")
    add("--at", default="nl5", help="where non-local blocks stand (default: %(default)s)")
    add("--clips", type=int, default=10, help="clips of a video (default: %(default)s)")
    add("--side", type=int, default=256, help="side of the crops (default: %(default)s)")
    add("--trained-side", type=int, default=224, help="side of the training's crops (default: %(default)s)")
    add("--num-videos", type=int, default=2, help="default: %(default)s")
    add("--views-per-forward", type=int, default=3, help="ours (default: %(default)s)")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="default: %(default)s")
    add("--host-memory", action="store_true", help="measure a loading worker instead")
    add("--long-frames", type=int, default=3000, help="with --host-memory: of the video (default: %(default)s)")
    return parser


def main() -> None:
    options = build_parser().parse_args()
    samples = os.environ.get("NLVIDEO_SAMPLE_VIDEOS")
    paths = options.videos or ([Path(samples)] if samples else [])
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        if options.host_memory:
            host_memory(Path(name), options)
        else:
            measure(options, usable(paths, Path(name), options.num_videos))


if __name__ == "__main__":
    main()
