"""The clip that a network sees of a video, and the way back from its pixels to those of the video.

Shapes: T frames, H x W pixels.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nlvideo.analysis.geometry import Triple
from nlvideo.data.eval_dataset import ViewSpec
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.transforms import normalize, resize_short_side
from nlvideo.data.video import Video
from nlvideo.models import Backbone


@dataclass(frozen=True)
class Clip:
    """The centred clip of a video, cut as at clip level.

    Attributes:
        frames: uint8 [T, H, W, 3], what the network sees.
        numbers: their frame numbers in the video.
        fps: of the video; 0 if unknown.
        scale: pixels of the video for one of the clip, down and across.
        corner: row and column of the crop, in pixels of the resized frames.
    """

    frames: np.ndarray
    numbers: list[int]
    fps: float
    scale: tuple[float, float]
    corner: tuple[int, int]

    def in_video(self, point: Triple) -> dict[str, float]:
        """Return a frame, row and column of the clip as frame number, seconds, and pixel of the stored video."""
        t, row, column = point
        number = float(np.interp(t, range(len(self.numbers)), self.numbers))
        # Pixel centres are whole numbers; a resize keeps the corners of the frame in place.
        y, x = ((p + c + 0.5) * s - 0.5 for p, c, s in zip((row, column), self.corner, self.scale, strict=True))
        seconds = {"seconds": number / self.fps} if self.fps else {}
        return {"frame": number, **seconds, "row": y, "column": x}


def read_clip(net: Backbone, path: Path) -> Clip:
    """Return the clip of clip level: centred in time and in the frame.

    Raises:
        DecodeError: the video cannot be read.
    """
    cut = net.preprocessing
    video = Video(path)
    sampling = ClipSampling(cut["clip_frames"], cut["frame_interval"], cut["kind"], cut["target_fps"])
    numbers = sampling.centre(video.num_frames, video.fps)
    frames = video.frames(numbers, partial(resize_short_side, short_side=cut["short_side"]))  # [T, 3, h, w]
    height, width = frames.shape[-2:]
    crop = min(cut["crop_size"], height, width)
    ((top, left, _, _),) = ViewSpec(slice(0, 1), crop).boxes(height, width)
    cropped = frames[..., top : top + crop, left : left + crop].permute(0, 2, 3, 1).numpy()
    scale = (video.height / height, video.width / width)
    return Clip(cropped, numbers.tolist(), video.fps, scale, (top, left))


def normalized(net: Backbone, clip: Clip) -> Tensor:
    """Return the clip as the network takes it: float [1, 3, T, H, W]."""
    frames = torch.from_numpy(clip.frames).permute(3, 0, 1, 2)[None]  # (1, 3, T, H, W)
    cut = net.preprocessing
    return normalize(frames.to(next(net.parameters()).device), cut["mean"], cut["std"])
