"""Prediction: softmax scores of single videos by a network from `nlvideo.load`.

Shapes: n distinct frames, C = 3 channels, T frames of a clip, H x W pixels, K classes.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nlvideo.data.eval_dataset import DecodedVideo, ViewSpec
from nlvideo.data.reading import read_eval_clips
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.transforms import normalize, resize_short_side
from nlvideo.data.video import Video
from nlvideo.evaluation.multi_view import score_views
from nlvideo.models import Backbone

VIEWS_PER_FORWARD = 8
SECONDS_AT_ONCE = 16  # seconds of a video whose frames are held together


def predict(net: Backbone, video: Path, *, num_clips: int = 10, num_crops: int = 3) -> Tensor:
    """Return the softmax scores of a video, averaged over `num_clips` x `num_crops` views as in ``nlvideo test``.

    Args:
        net: from `nlvideo.load`: it knows how its clips are sampled, resized and normalised.
        video: a file.

    Returns:
        float32 [K], on the CPU.

    Raises:
        DecodeError: if the file cannot be read.
    """
    short_side = net.preprocessing["short_side"]
    frames, clips, _ = read_eval_clips(video, sampling=_sampling(net), short_side=short_side, num_clips=num_clips)
    return _score_clips(net, frames, clips[1:], num_crops).mean(dim=0)  # the first clip is that of clip level


def predict_seconds(net: Backbone, video: Path, *, num_crops: int = 1) -> Iterator[Tensor]:
    """Yield the softmax scores of each second of a video, of the clip around its middle, as the video is read.

    Args:
        net, video: as in `predict`.
        num_crops: of each clip, averaged.

    Yields:
        float32 [K], on the CPU, for each second that has begun.

    Raises:
        DecodeError: if the file cannot be read.
        ValueError: if it has no frame rate, or the network takes segments of whole videos.
    """
    opened = Video(video)
    try:
        clips = _sampling(net).each_second(opened.num_frames, opened.fps)  # [seconds, T]
    except ValueError as error:
        raise ValueError(f"{video}: no scores by the second: {error}") from error
    prepare = partial(resize_short_side, short_side=net.preprocessing["short_side"])
    for first in range(0, len(clips), SECONDS_AT_ONCE):
        some = clips[first : first + SECONDS_AT_ONCE]
        numbers, positions = np.unique(some, return_inverse=True)
        frames, positions = opened.frames(numbers, prepare), torch.from_numpy(positions.reshape(some.shape))
        yield from _score_clips(net, frames, positions, num_crops).unflatten(0, (len(some), -1)).mean(dim=1)


def _sampling(net: Backbone) -> ClipSampling:
    settings = net.preprocessing
    return ClipSampling(settings["clip_frames"], settings["frame_interval"], settings["kind"], settings["target_fps"])


def _score_clips(net: Backbone, frames: Tensor, clips: Tensor, num_crops: int) -> Tensor:
    """uint8 [n, C, H, W], int64 [clips, T] -> [clips * crops, K]."""
    settings = net.preprocessing
    video = DecodedVideo(frames.to(next(net.parameters()).device), clips, label=0, index=0)
    views = ViewSpec(slice(None), settings["crop_size"], num_crops)
    normalize_views = partial(normalize, mean=settings["mean"], std=settings["std"])
    with torch.inference_mode():
        (scores,) = score_views(net, [video], views, normalize=normalize_views, views_per_forward=VIEWS_PER_FORWARD)
    return scores
