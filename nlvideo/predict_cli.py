"""``nlvideo predict``: the best classes of any video, with a checkpoint alone."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nlvideo.data.formats import SUFFIXES
from nlvideo.imports import long_imports
from nlvideo.user_modules import add_import_argument

if TYPE_CHECKING:
    from nlvideo.models import Backbone


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nlvideo predict", description="The best classes of videos, with scores.")
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO", help="video files, or folders of them")
    add_network_arguments(parser)
    parser.add_argument("--top", type=int, default=5, help="how many classes to show (default: %(default)s)")
    parser.add_argument(
        "--per_second", action="store_true", help="for long videos: scores of each second, from the clip around it"
    )
    parser.add_argument("--num_clips", type=int, help="clips of a video (default: 10; not with --per_second)")
    parser.add_argument("--num_crops", type=int, help="crops of a clip (default: 3; with --per_second 1)")
    parser.add_argument("--bfloat16", action="store_true", help="compute in bfloat16")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that works with a checkpoint's network; `load_network` reads them."""
    parser.add_argument("--ckpt_path", required=True, type=Path, help="a checkpoint, such as runs/<name>/last.ckpt")
    add_import_argument(parser)
    parser.add_argument("--device", help="such as cpu or cuda:1 (default: a GPU if PyTorch finds one)")


def load_network(options: argparse.Namespace) -> "Backbone":
    """Return the network on its device, in eval mode.

    Raises:
        ValueError: torch cannot use the device, or see `nlvideo.load`.
    """
    import torch  # late, as in main

    from nlvideo.checkpoint import load
    from nlvideo.quiet import hush_libraries

    hush_libraries()
    options.device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=options.device)
    except (RuntimeError, AssertionError) as error:  # an AssertionError if torch was built without CUDA
        raise ValueError(f"--device {options.device}: {str(error).splitlines()[0]}") from error
    return load(options.ckpt_path, trusted_modules=options.trusted_modules).to(options.device)


def main(args: list[str]) -> None:
    options = build_parser().parse_args(args)
    _check(options)

    # Late: --help and a mistaken option need not wait for torch.
    with long_imports():
        import torch

        from nlvideo.console import console, track
        from nlvideo.data.video import DecodeError
        from nlvideo.evaluation.predict import predict, predict_seconds
        from nlvideo.evaluation.predict_table import best_classes, best_table, seconds_table
        from nlvideo.models.inference import inference_copy

    net = inference_copy(load_network(options), torch.bfloat16 if options.bfloat16 else torch.float32)

    def classes(video: Path) -> dict[str, list]:
        if not options.per_second:
            scores = predict(net, video, num_clips=options.num_clips or 10, num_crops=options.num_crops or 3)
            return {"classes": best_classes(net, scores, options.top)}
        seconds = predict_seconds(net, video, num_crops=options.num_crops or 1)
        return {"seconds": [best_classes(net, scores, options.top) for scores in track(seconds, video.name)]}

    results, unreadable = [], []
    videos = list_videos(options.videos)
    # One bar at a time: over the videos, or over the seconds of each.
    for video in videos if options.per_second else track(videos, "predicting"):
        try:
            results.append({"video": str(video), **classes(video)})
        except DecodeError as error:
            unreadable.append(str(error))

    if options.json:
        json.dump(results, sys.stdout, indent=2)
        print()
    elif results:
        console().print(seconds_table(results) if options.per_second else best_table(results))
    if unreadable:
        raise DecodeError("; ".join(unreadable))


def list_videos(paths: list[Path]) -> list[Path]:
    """Return files as they are, and for a folder the videos in and below it, by name.

    Raises:
        ValueError: if a path does not exist, or a folder holds no video.
    """
    videos = []
    for path in paths:
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
            if not found:
                raise ValueError(f"{path}: no videos in this folder; looked for {' '.join(sorted(SUFFIXES))}")
            videos += found
        elif path.is_file():
            videos.append(path)
        else:
            raise ValueError(f"{path}: no such file or folder")
    return videos


def _check(options: argparse.Namespace) -> None:
    if options.per_second and options.num_clips is not None:
        raise ValueError("--num_clips has no effect with --per_second, which takes a clip a second; leave it out")
    for name in ("top", "num_clips", "num_crops"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise ValueError(f"--{name} {value}: expected at least 1")
