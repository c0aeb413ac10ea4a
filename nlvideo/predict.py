"""``nlvideo predict``: the classes of any video, with a checkpoint alone."""

import argparse
import json
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from nlvideo.checkpoint import load
from nlvideo.console import console
from nlvideo.data.decode import DecodeError
from nlvideo.data.footage import EvalVideos, Footage, Views
from nlvideo.data.sampling import ClipSampling
from nlvideo.evaluation import score_views
from nlvideo.models import Backbone

VIDEO_SUFFIXES = {".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".flv"}


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
    cut = net.preprocessing
    reader = EvalVideos(
        [],
        sampling=ClipSampling(cut["clip_frames"], cut["stride"], cut["kind"], cut["target_fps"]),
        short_side=cut["short_side"],
        num_clips=num_clips,
    )
    frames, clips = reader.read(video)
    footage = Footage(frames.to(next(net.parameters()).device), clips, label=0, index=0)
    views = Views(slice(1, None), cut["crop_size"], num_crops)  # the first clip is the one of clip level
    with torch.inference_mode():
        (scores,) = score_views(net, [footage], views, mean=cut["mean"], std=cut["std"], views_per_forward=8)
    return scores.mean(dim=0)


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


def main(args: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="nlvideo predict", description="The best classes of videos, with scores.")
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO", help="video files, or folders of them")
    parser.add_argument("--ckpt_path", required=True, type=Path, help="a checkpoint, such as runs/<name>/last.ckpt")
    parser.add_argument("--top", type=int, default=5, help="how many classes to show (default: %(default)s)")
    parser.add_argument("--num_clips", type=int, default=10, help="clips of a video (default: %(default)s)")
    parser.add_argument("--num_crops", type=int, default=3, help="crops of a clip (default: %(default)s)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    options = parser.parse_args(args)

    net = load(options.ckpt_path).to(options.device)
    videos = list_videos(options.videos)
    results, unreadable = [], []
    for video in track(videos, "predicting", console=Console(stderr=True), transient=True, disable=len(videos) < 2):
        try:
            scores = predict(net, video, num_clips=options.num_clips, num_crops=options.num_crops)
        except DecodeError as error:
            unreadable.append(str(error))
            continue
        best = scores.topk(min(options.top, len(scores)))
        classes = [
            {"class": net.class_names[label], "score": score}
            for score, label in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
        results.append({"video": str(video), "classes": classes})

    if options.json:
        json.dump(results, sys.stdout, indent=2)
        print()
    elif results:
        console().print(_table(results))
    if unreadable:
        raise DecodeError("; ".join(unreadable))


def _table(results: list[dict]) -> Table:
    table = Table("video", "class", "score")
    for result in results:
        for i, row in enumerate(result["classes"]):
            table.add_row(result["video"] if i == 0 else "", row["class"], f"{row['score']:.4f}")
        table.add_section()
    return table
