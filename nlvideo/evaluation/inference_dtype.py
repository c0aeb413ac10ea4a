"""Choice of the dtype in which a network evaluates fastest and keeps its top-1 predictions, by measuring."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nlvideo.data.eval_dataset import DecodedVideo, ViewSpec
from nlvideo.evaluation.multi_view import score_views
from nlvideo.models import Backbone
from nlvideo.models.inference import inference_copy

NUM_VIDEOS = 16  # measured, at most
SHARE = 8  # at most one of so many videos of the set is measured


def measured_rows(num_videos: int) -> list[int]:
    """Return the rows of a manifest whose videos are measured, spread evenly."""
    count = max(1, min(NUM_VIDEOS, num_videos // SHARE))
    return [num_videos * i // count for i in range(count)]


def fastest_dtype(net: Backbone, videos: Sequence[DecodedVideo], views: ViewSpec, **options: Any) -> tuple[str, str]:
    """Return bfloat16 if it is faster than float32 and gives each of the videos the same top-1, else float32.

    Args:
        net: on the device of the videos' frames.
        videos: to measure with; without any the answer is float32.
        views: of a video, whose scores are averaged.
        options: of `score_views`.

    Returns:
        The name of the dtype, and a sentence with what was measured.
    """
    if not videos:
        return "float32", "inference_dtype auto: float32, since none of the videos to measure with could be read"
    reference, slow = _measure(inference_copy(net, torch.float32), videos, views, **options)
    scores, fast = _measure(inference_copy(net, torch.bfloat16), videos, views, **options)
    same = int((scores.argmax(dim=1) == reference.argmax(dim=1)).sum())
    choice = "bfloat16" if same == len(videos) and fast < slow else "float32"
    return choice, (
        f"inference_dtype auto: {choice}; bfloat16 takes {fast / slow:.2f} times as long as float32, gives {same} of "
        f"{len(videos)} videos the same top-1, and scores that differ by at most {(scores - reference).abs().max():.1g}"
    )


def _measure(net: Backbone, videos: Sequence[DecodedVideo], views: ViewSpec, **options: Any) -> tuple[Tensor, float]:
    """Return the mean scores of each video, [n, K], and the seconds that they take."""
    score_views(net, videos[:1], views, **options)  # the first call is slower
    started = time.perf_counter()
    scores = score_views(net, videos, views, **options)  # on the CPU: waits for the device
    seconds = time.perf_counter() - started
    return torch.stack([of_video.mean(dim=0) for of_video in scores]), seconds
