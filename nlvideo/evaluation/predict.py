"""``nlvideo predict``: the classes of any video, with a checkpoint alone."""

import argparse
import json
import sys
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from nlvideo.checkpoint import add_import_argument, load
from nlvideo.console import console, track
from nlvideo.data.eval_dataset import DecodedVideo, EvalVideos, ViewSpec
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.transforms import resize_short_side
from nlvideo.data.video import DecodeError, Video
from nlvideo.evaluation.multi_view import score_views
from nlvideo.models import Backbone
from nlvideo.models.inference import inference_copy

VIDEO_SUFFIXES = {".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".flv"}
VIEWS_PER_FORWARD = 8
SECONDS_AT_ONCE = 16  # whose frames are held together


def predict(net: Backbone, video: Path, *, num_clips: int = 10, num_crops: int = 3) -> Tensor:
    """Softmax scores of a video, averaged over `num_clips` x `num_crops` views: video level, as in ``nlvideo test``.

    Args:
        net: from `nlvideo.load`: it knows how its clips are cut and normalised.
        video: a file.

    Returns:
        float32 [K], on the CPU.

    Raises:
        DecodeError: the file cannot be read.
    """
    reader = EvalVideos([], sampling=_sampling(net), short_side=net.preprocessing["short_side"], num_clips=num_clips)
    frames, clips = reader.read(video)
    return _score_clips(net, frames, clips[1:], num_crops).mean(dim=0)  # the first clip is the one of clip level


def predict_seconds(net: Backbone, video: Path, *, num_crops: int = 1) -> Iterator[Tensor]:
    """Softmax scores of each second of a video, of the clip around its middle, as the video is read: for long videos
    in which much happens.

    Args:
        net, video: as in `predict`.
        num_crops: of each clip, averaged.

    Yields:
        float32 [K], on the CPU, for each second that has begun.

    Raises:
        DecodeError: the file cannot be read.
        ValueError: it has no frame rate, or the network no clips of some seconds.
    """
    opened = Video(video)
    try:
        clips = _sampling(net).each_second(opened.num_frames, opened.fps)
    except ValueError as error:
        raise ValueError(f"{video}: no scores by the second: {error}") from error
    prepare = partial(resize_short_side, short_side=net.preprocessing["short_side"])
    for first in range(0, len(clips), SECONDS_AT_ONCE):
        some = clips[first : first + SECONDS_AT_ONCE]
        wanted, places = np.unique(some, return_inverse=True)
        frames, places = opened.frames(wanted, prepare), torch.from_numpy(places.reshape(some.shape))
        yield from _score_clips(net, frames, places, num_crops).unflatten(0, (len(some), -1)).mean(dim=1)


def _sampling(net: Backbone) -> ClipSampling:
    cut = net.preprocessing
    return ClipSampling(cut["clip_frames"], cut["frame_interval"], cut["kind"], cut["target_fps"])


def _score_clips(net: Backbone, frames: Tensor, clips: Tensor, num_crops: int) -> Tensor:
    """[clips * crops, K]."""
    cut = net.preprocessing
    footage = DecodedVideo(frames.to(next(net.parameters()).device), clips, label=0, index=0)
    views = ViewSpec(slice(None), cut["crop_size"], num_crops)
    with torch.inference_mode():
        (scores,) = score_views(
            net, [footage], views, mean=cut["mean"], std=cut["std"], views_per_forward=VIEWS_PER_FORWARD
        )
    return scores


def list_videos(paths: list[Path]) -> list[Path]:
    """Files as they are, folders as the videos in and below them, by name.

    Raises:
        ValueError: a path does not exist, or a folder holds no video.
    """
    videos = []
    for path in paths:
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix.lower() in VIDEO_SUFFIXES)
            if not found:
                raise ValueError(f"{path}: no videos in this folder; looked for {' '.join(sorted(VIDEO_SUFFIXES))}")
            videos += found
        elif path.is_file():
            videos.append(path)
        else:
            raise ValueError(f"{path}: no such file or folder")
    return videos


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nlvideo predict", description="The best classes of videos, with scores.")
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO", help="video files, or folders of them")
    parser.add_argument("--ckpt_path", required=True, type=Path, help="a checkpoint, such as runs/<name>/last.ckpt")
    add_import_argument(parser)
    parser.add_argument("--top", type=int, default=5, help="how many classes to show (default: %(default)s)")
    parser.add_argument(
        "--per_second", action="store_true", help="for long videos: scores of each second, from the clip around it"
    )
    parser.add_argument("--num_clips", type=int, help="clips of a video (default: 10; not with --per_second)")
    parser.add_argument("--num_crops", type=int, help="crops of a clip (default: 3; with --per_second 1)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="default: %(default)s")
    parser.add_argument("--bfloat16", action="store_true", help="compute in bfloat16")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    return parser


def main(args: list[str]) -> None:
    options = build_parser().parse_args(args)
    if options.per_second and options.num_clips is not None:
        raise ValueError("--num_clips has no effect with --per_second, which takes a clip a second; leave it out")
    for name in ("top", "num_clips", "num_crops"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise ValueError(f"--{name} {value}: expected at least 1")
    net = load(options.ckpt_path, trusted_modules=options.trusted_modules).to(_device(options.device))
    net = inference_copy(net, torch.bfloat16 if options.bfloat16 else torch.float32)
    results, unreadable = [], []
    videos = list_videos(options.videos)
    # One bar at a time: over the videos, or over the seconds of each.
    for video in videos if options.per_second else track(videos, "predicting"):
        try:
            results.append({"video": str(video), **_result(net, video, options)})
        except DecodeError as error:
            unreadable.append(str(error))

    if options.json:
        json.dump(results, sys.stdout, indent=2)
        print()
    elif results:
        console().print(_seconds_table(results) if options.per_second else _table(results))
    if unreadable:
        raise DecodeError("; ".join(unreadable))


def _device(name: str) -> torch.device:
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch raises an AssertionError if it was built without CUDA
        raise ValueError(f"--device {name}: {str(error).splitlines()[0]}") from error


def _result(net: Backbone, video: Path, options: argparse.Namespace) -> dict:
    if not options.per_second:
        scores = predict(net, video, num_clips=options.num_clips or 10, num_crops=options.num_crops or 3)
        return {"classes": _best(net, scores, options.top)}
    seconds = predict_seconds(net, video, num_crops=options.num_crops or 1)
    return {"seconds": [_best(net, scores, options.top) for scores in track(seconds, video.name)]}


def _best(net: Backbone, scores: Tensor, count: int) -> list[dict]:
    best = scores.topk(min(count, len(scores)))
    return [
        {"class": net.class_names[label], "score": score}
        for score, label in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]


def _table(results: list[dict]) -> Table:
    table = Table("video", "class", "score")
    for result in results:
        for i, row in enumerate(result["classes"]):
            table.add_row(result["video"] if i == 0 else "", row["class"], f"{row['score']:.4f}")
        table.add_section()
    return table


def _seconds_table(results: list[dict]) -> Table:
    """A row for each stretch of seconds with the same best class; the score is their mean."""
    table = Table("video", "seconds", "class", "score")
    for result in results:
        bests = [classes[0] for classes in result["seconds"]]
        for i, (name, same) in enumerate(groupby(enumerate(bests), key=lambda item: item[1]["class"])):
            seconds, rows = zip(*same, strict=True)
            score = np.mean([row["score"] for row in rows])
            stretch = f"{seconds[0]} to {seconds[-1] + 1}"
            table.add_row(result["video"] if i == 0 else "", stretch, name, f"{score:.4f}")
        table.add_section()
    return table
