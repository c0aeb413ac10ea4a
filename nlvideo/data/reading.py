"""Open, number, read: from a video's path to the frames of its clips, each decoded once.

Shapes: R training clips, J evaluation clips, n distinct frames, C = 3 channels, T frames of a clip, H x W pixels.
"""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nlvideo.data.protocols import PROTOCOLS
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.time_limit import run_with_timeout
from nlvideo.data.transforms import TrainCrop, resize_short_side
from nlvideo.data.video import Box, DecodeError, Decoder, Video

log = logging.getLogger(__name__)

FIRST_VIDEOS = 20  # of which a run says at its start which decoders read them


def read_training_clips(
    path: Path, *, sampling: ClipSampling, crop: TrainCrop, repeats: int = 1, decoder: Decoder = "auto"
) -> tuple[list[Tensor], list[Box]]:
    """Return `repeats` random clips, each the part of its frames that its crop needs, uint8 [T, C, h, w], and the boxes
    that were drawn for them.

    Raises:
        DecodeError: if the video cannot be read.
    """
    draws = torch.rand(repeats, sampling.num_frames).numpy()
    video = Video(path, decoder)
    size = video.height, video.width
    indices = np.stack([sampling.random(video.num_frames, video.fps, draw) for draw in draws])  # [R, T]
    boxes = [crop.draw(*size) for _ in range(repeats)]
    parts = [_inside(box, *size) for box in boxes]
    if repeats == 1:
        return [*video.frames(indices, box=parts[0])], boxes
    frames = video.frames(indices)  # [R, T, C, H, W]
    return [clip[(..., *part.slices)] for clip, part in zip(frames, parts, strict=True)], boxes


def read_eval_clips(
    path: Path,
    *,
    sampling: ClipSampling,
    short_side: int | None,
    num_clips: int = 0,
    protocol: str = "uniform",
    decoder: Decoder = "auto",
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the frames of the centre clip and of `num_clips` clips of a test protocol, each frame once.

    Args:
        short_side: frames are resized to it as they are decoded; None leaves their size.

    Returns:
        uint8 [n, C, H, W]; where in it the frames of each clip are, int64 [J, T] with J = 1 + num_clips; and
        their numbers in the video, int64 [n].

    Raises:
        DecodeError: if the video cannot be read.
    """
    video = Video(path, decoder)
    clips = sampling.centre(video.num_frames, video.fps)[None]
    if num_clips:
        more = PROTOCOLS[protocol].clips(sampling, num_clips, video.num_frames, video.fps)
        clips = np.concatenate([clips, more])
    distinct, places = np.unique(clips, return_inverse=True)
    frames = video.frames(distinct, partial(resize_short_side, short_side=short_side))
    return frames, torch.from_numpy(places.reshape(clips.shape)), torch.from_numpy(distinct)


def summarize_decoders(paths: Sequence[Path], decoder: Decoder = "auto", timeout: float = 120.0) -> str:
    """Return the line at the start of a run that says which decoders read how many of the first videos. If opening them
    takes longer than `timeout` seconds together, it ends there, with a warning that names the file."""
    counts: Counter[str] = Counter()
    late = time.monotonic() + timeout
    for path in paths[:FIRST_VIDEOS]:
        try:
            counts[run_with_timeout(late - time.monotonic(), Video, path, decoder=decoder).decoder] += 1
        except DecodeError:
            counts["unreadable"] += 1
            if time.monotonic() >= late:
                log.warning("%s: not open after %g seconds: does the disk hang?", path, timeout)
                break
    found = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    return f"decoders of the first {counts.total()} videos: {found}"


def _inside(box: Box, height: int, width: int) -> Box:
    """Return the part of a box that is inside the frame; if there is none, the nearest pixels of its edge."""
    top, bottom = np.clip([box.top, box.top + box.height - 1], 0, height - 1).tolist()
    left, right = np.clip([box.left, box.left + box.width - 1], 0, width - 1).tolist()
    return Box(top, left, bottom - top + 1, right - left + 1)
