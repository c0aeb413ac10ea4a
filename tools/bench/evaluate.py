"""Seconds and multiply-adds of a 10 x 3 evaluation: a straightforward pytorchvideo pipeline against ours, and each
protocol against the others.

The pipeline decodes each view on its own and runs it alone, in float32; its stem, bottlenecks and non-local blocks are
pytorchvideo's. Ours reads a video once, folds norms and puts channels last. Both have the same weights (random: numbers
agree, accuracies mean nothing), the same frames and the same resize, so with protocol nln the scores must agree.

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
from pathlib import Path

import numpy as np
import torch
from network import PytorchvideoNonLocal
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
from nlvideo.data.protocols import SLIDING, crop_offsets, nln_clips
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.transforms import normalize, resize_short_side
from nlvideo.data.video import DecodeError, Video
from nlvideo.evaluation.multi_view import score_views
from nlvideo.models import Insert, ResNet3d
from nlvideo.models.inference import inference_copy

FRAMES, STRIDE, CLIPS, CROPS, SIDE, TRAINED = 8, 8, 10, 3, 256, 224
MEAN, STD = 0.45, 0.225

Read = Callable[[Path], Tensor]  # a video -> its scores [K]


def pytorchvideo_pipeline(net: ResNet3d, device: str) -> Read:
    def read(path: Path) -> Tensor:
        opened = Video(path)
        scores = []
        for clip in nln_clips(CLIPS, FRAMES, STRIDE, opened.num_frames):
            for crop in range(CROPS):
                frames = resize_short_side(decoded(path, clip, opened.fps), SIDE)  # (T, 3, H, W)
                height, width = frames.shape[-2:]
                offset = crop_offsets("nln", max(height, width) - SIDE, CROPS)[crop]
                top, left = (0, offset) if width >= height else (offset, 0)
                view = frames[..., top : top + SIDE, left : left + SIDE].transpose(0, 1)[None]
                scores.append(net.scores(normalize(view.to(device), MEAN, STD), TRAINED)[0])
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


def ours(net: ResNet3d, protocol: str, device: str, views_per_forward: int) -> Read:
    reader = EvalVideos([], sampling=ClipSampling(FRAMES, STRIDE), short_side=SIDE, num_clips=CLIPS, protocol=protocol)
    views = views_of(protocol)

    def read(path: Path) -> Tensor:
        frames, clips = reader.read(path)
        footage = DecodedVideo(frames.to(device), clips, label=0, index=0)
        (scores,) = score_views(net, [footage], views, mean=MEAN, std=STD, views_per_forward=views_per_forward)
        return scores.mean(dim=0)

    return read


def views_of(protocol: str) -> ViewSpec:
    crop, num_crops = (None, 1) if protocol == "full" else (SIDE, CROPS)
    return ViewSpec(slice(1, None), crop, num_crops, protocol, TRAINED if protocol in SLIDING else None)


def networks(arch: str, depth: int, at: str) -> tuple[ResNet3d, ResNet3d]:
    """Ours, and one of pytorchvideo's blocks with the same weights."""
    torch.manual_seed(0)
    net = ResNet3d(arch, depth, after=Insert(NonLocal, at)).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):  # blocks start as the identity: give them something to say
            nn.init.uniform_(module.weight, 0.5, 1.0)
    theirs = ResNet3d(arch, depth, after=Insert(PytorchvideoNonLocal, at)).eval()
    theirs.load_state_dict({name.replace(".after.", ".after.block."): v for name, v in net.state_dict().items()})
    return net, theirs


def measure(options: argparse.Namespace, videos: list[Path]) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net, theirs = networks(options.arch, options.depth, options.at)
    copies = {dtype: inference_copy(net, getattr(torch, dtype)).to(device) for dtype in ("float32", "bfloat16")}
    rows: list[tuple[str, str, str, Read]] = [
        ("pytorchvideo", "nln", "float32", pytorchvideo_pipeline(theirs.to(device), device))
    ]
    for protocol, dtypes in (
        ("nln", ("float32", "bfloat16")),
        ("full", ("float32", "bfloat16")),
        ("slowfast", ("bfloat16",)),
        ("mmaction", ("bfloat16",)),
        ("uniform", ("bfloat16",)),
    ):
        for dtype in dtypes:
            rows.append(("nlvideo", protocol, dtype, ours(copies[dtype], protocol, device, options.views_per_forward)))

    with torch.device("meta"):
        twin = ResNet3d(options.arch, options.depth, after=Insert(NonLocal, options.at))
    table = Table("", "protocol", "dtype", "GMACs a video", "s a video", "times faster", "scores differ by")
    table.title = (
        f"{options.arch} R{options.depth}, {options.at}: {len(videos)} videos, {CLIPS} clips each, on {device}"
    )
    first = None
    for whose, protocol, dtype, read in rows:
        started = time.perf_counter()
        scores = torch.stack([read(path) for path in videos])
        seconds = (time.perf_counter() - started) / len(videos)
        first = first or (seconds, scores)
        same = protocol == "nln"
        table.add_row(
            whose,
            protocol,
            dtype,
            f"{np.mean([gmacs(twin, path, protocol) for path in videos]):,.0f}",
            f"{seconds:.2f}",
            f"{first[0] / seconds:.2f}",
            f"{(scores - first[1]).abs().max():.1e}" if same else "",
        )
        console().print(f"{whose} {protocol} {dtype}: {seconds:.2f} s a video")
    console().print(table)


def gmacs(net: ResNet3d, path: Path, protocol: str) -> float:
    height, width = resize_short_side(Video(path).frames(np.array([0])), SIDE).shape[-2:]
    boxes = views_of(protocol).boxes(height, width)
    return CLIPS * len(boxes) * count_cost(net, (FRAMES, *boxes[0][2:])).gmacs


def readable(paths: list[Path], folder: Path, count: int) -> list[Path]:
    """Videos of at least a clip's length that both sides read."""
    files = [
        f for path in paths for f in ([path] if path.is_file() else sorted(path.iterdir())) if f.suffix in SUFFIXES
    ]
    found = []
    for file in (file for file in files if file.suffix in SUFFIXES):
        try:
            video = Video(file)
            if video.num_frames >= FRAMES * STRIDE and 0 < video.fps <= 60:
                decoded(file, np.arange(0, FRAMES * STRIDE, STRIDE), video.fps)
                found.append(file)
        except (DecodeError, IndexError, TypeError):
            continue  # the sample videos hold broken ones on purpose
        if len(found) == count:
            return found
    return found or [noise(folder / f"{i}.mp4", 300, 256, 340) for i in range(count)]


def noise(path: Path, num_frames: int, height: int, width: int) -> Path:
    """Blocks of colour that move: as hard to decode as film, not as hard as noise."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    frames = (np.roll(picture, (i, 2 * i), (0, 1))[:height, :width] for i in range(num_frames))
    write_video(path, frames, 30, gop=250)
    return path


def host_memory(folder: Path) -> None:
    """Peak memory of a loading worker, the libraries that it imports counted."""
    path = noise(folder / "long.mp4", 3000, 720, 1280)
    reader = EvalVideos(
        [Sample(path, 0, str(path))], sampling=ClipSampling(128, 1), short_side=SIDE, num_clips=CLIPS, protocol="nln"
    )
    context = {"num_workers": 1, "multiprocessing_context": "spawn", "prefetch_factor": 1}
    ((video,),) = DataLoader(reader, batch_size=1, collate_fn=collate_readable, **context)
    num_frames, _, height, width = video.frames.shape
    held, as_views = video.frames.numel() / 2**30, video.clips[1:].numel() * CROPS * 3 * SIDE**2 / 2**30
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    console().print(
        f"3,000 frames of 1280 x 720, 10 clips of 128 frames: {num_frames} frames of {width} x {height} held once, "
        f"{held:.2f} GiB; as {CROPS} crops of each clip they would be {as_views:.2f} GiB. Peak of the worker: "
        f"{peak:.2f} GiB",
    )


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path, help="files or folders (default: $NLVIDEO_SAMPLE_VIDEOS)")
    parser.add_argument("--arch", default="c2d", help="c2d or i3d (default: %(default)s)")
    parser.add_argument("--depth", type=int, default=50, help="default: %(default)s")
    parser.add_argument("--at", default="nl5", help="where non-local blocks stand (default: %(default)s)")
    parser.add_argument("--num-videos", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--views-per-forward", type=int, default=3, help="ours (default: %(default)s)")
    parser.add_argument("--host-memory", action="store_true", help="measure a loading worker instead")
    return parser


def main() -> None:
    options = build_parser().parse_args()
    samples = os.environ.get("NLVIDEO_SAMPLE_VIDEOS")
    paths = options.videos or ([Path(samples)] if samples else [])
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        folder = Path(name)
        if options.host_memory:
            host_memory(folder)
        else:
            measure(options, readable(paths, folder, options.num_videos))


if __name__ == "__main__":
    main()
