"""Small moving pictures of the clips that a network sees, and of what a block attends to in them.

Shapes: T frames, H x W pixels, h x w positions of a block's keys.
"""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from nlvideo.analysis.clip import Clip, normalized, read_clip
from nlvideo.analysis.maps import AttentionMap, attention_maps
from nlvideo.models import Backbone

SIDE = 160  # pixels, at most
FRAMES = 16  # at most
QUALITY = 55  # of WebP
QUERY = (0, 229, 255)  # colour of the query point


@dataclass(frozen=True)
class Picture:
    """A moving picture as a data URI.

    Attributes:
        about: what it shows, for those who do not see it.
    """

    uri: str
    width: int
    height: int
    about: str


def pictures(net: Backbone, video: Path, label: int | None, block: str | None) -> list[Picture]:
    """Return the centred clip of a video and, for a block, what its most influential query draws on.

    Args:
        net: in eval mode.
        label: class whose score the query influences; None for the predicted one.
        block: name of a block with attention maps, or None.

    Raises:
        DecodeError: the video cannot be read.
    """
    clip = read_clip(net, video)
    found = [_moving(clip.frames, clip, f"the clip that the network sees, {len(clip.frames)} frames")]
    if block is not None:
        (attention,) = attention_maps(net, normalized(net, clip), blocks=[block], num_queries=1, label=label)
        t, row, column = (round(number) for number in attention.point)
        about = f"what the query at frame {t}, row {row}, column {column} of {block} draws on"
        found.append(_moving(_heat(attention, clip.frames), clip, about))
    return found


def _heat(attention: AttentionMap, frames: np.ndarray) -> np.ndarray:
    """Return the frames in grey under the weights of a query, uint8 [T, H, W, 3]; a ring marks the query."""
    num_frames, height, width, _ = frames.shape
    grid, weights = attention.key_grid, attention.weights.numpy()  # (T', h, w)
    axes = (
        np.clip(np.round((np.arange(size) - first) / step), 0, positions - 1).astype(int)
        for size, first, step, positions in zip(
            (num_frames, height, width), grid.first, grid.step, weights.shape, strict=True
        )
    )
    share = np.clip(weights / max(float(weights.max()), 1e-12), 0, 1)[np.ix_(*axes)]  # (T, H, W)
    colours = matplotlib.colormaps["inferno"](share)[..., :3] * 255
    grey = frames.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    alpha = 0.8 * share[..., None]
    mixed = ((1 - alpha) * grey + alpha * colours).round().astype(np.uint8)
    t, row, column = attention.point
    rows, columns = np.ogrid[:height, :width]
    radius = max(height, width) / 20
    distance = np.hypot(rows - row, columns - column)
    own = np.flatnonzero(np.abs(np.arange(num_frames) - t) <= attention.query_grid.step[0] / 2)
    for frame in own:
        mixed[frame][np.abs(distance - radius) <= max(radius / 4, 0.6)] = QUERY
    return mixed


def _moving(frames: np.ndarray, clip: Clip, about: str) -> Picture:
    """Return frames [T, H, W, 3] as an animated WebP at the speed of the video, if that is known."""
    shown = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), FRAMES)).round().astype(int))
    height, width = frames.shape[1:3]
    scale = min(SIDE / max(height, width), 1.0)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    images = [Image.fromarray(frames[i]).resize(size, Image.Resampling.LANCZOS) for i in shown]
    span = (clip.numbers[-1] - clip.numbers[0]) / clip.fps if clip.fps else 0.25 * len(images)  # seconds
    milliseconds = int(np.clip(1000 * span / len(images), 80, 500))
    file = io.BytesIO()
    images[0].save(
        file, "WEBP", save_all=True, append_images=images[1:], duration=milliseconds, loop=0, quality=QUALITY, method=4
    )
    return Picture(f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}", *size, about)
