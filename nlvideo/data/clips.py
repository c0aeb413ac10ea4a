"""The frames of some clips of a video, each decoded once. Letters: C = 3 channels, T frames, H x W pixels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nlvideo.data.timeout import run_with_timeout
from nlvideo.data.video import DecodeError, Decoder, Prepare, Video

TIMEOUT = 120.0  # to read one video; whoever needs longer hangs


def read_clips(
    path: Path,
    choose: Callable[[int, float], np.ndarray],
    *,
    prepare: Prepare = lambda frames: frames,
    decoder: Decoder = "auto",
    timeout: float = TIMEOUT,
) -> tuple[Tensor, Tensor]:
    """The frames of some clips of a video, each read once however many clips it belongs to.

    Args:
        choose: given the number of frames of the video and its frames a second, int [clips, T].
        prepare: done to frames as they are decoded, such as a resize.

    Returns:
        Distinct frames, uint8 [n, C, H, W], and where in them the frames of each clip are, int64 [clips, T].

    Raises:
        DecodeError: the video cannot be read, or not in that time.
    """

    def read() -> tuple[Tensor, Tensor]:
        video = Video(path, decoder)
        wanted, position = np.unique(indices := choose(video.num_frames, video.fps), return_inverse=True)
        return video.frames(wanted, prepare), torch.from_numpy(position.reshape(indices.shape))

    try:
        return run_with_timeout(timeout, read)
    except TimeoutError as error:
        raise DecodeError(f"{path}: reading it {error}") from error
