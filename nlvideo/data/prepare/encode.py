"""Write frames as a video file, with PyAV.

Shapes: T frames, H rows, W columns.
"""

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from nlvideo.files import replacing

GOP = 16  # frames from key frame to key frame: to reach any frame, at most 15 others are decoded
CRF = 23  # x264's quality: 0 is lossless, 51 the worst, 23 its own default


def write_video(
    path: str | os.PathLike,
    frames: Iterable[np.ndarray],
    fps: float | Fraction,
    *,
    codec: str = "libx264",
    gop: int = GOP,
    crf: int = CRF,
    preset: str = "veryfast",
) -> None:
    """Encode RGB frames. On one machine, the same frames give the same bytes. The file gets its name only when it is
    complete.

    Args:
        path: its suffix chooses the container.
        frames: uint8 [T, H, W, 3], or an iterable of [H, W, 3]. H and W must be even, since pixels are stored as
            yuv420p, which every decoder reads.
        fps: frame rate.
        codec: FFmpeg's name of the encoder.
        gop: frames from key frame to key frame.
        crf, preset: quality and speed of x264 and x265.
    """
    path = Path(path)
    rate = Fraction(fps).limit_denominator(1001)
    with replacing(path) as partial, av.open(partial, "w") as container:
        # No B frames ("bf"): x264 encodes small pictures with them a little differently from run to run.
        options = {"crf": str(crf), "preset": preset, "bf": "0"}
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        shape = None
        for index, frame in enumerate(frames):
            if shape is None:
                shape = _checked_shape(frame)
                stream.height, stream.width = shape[:2]
            elif frame.shape != shape or frame.dtype != np.uint8:
                raise ValueError(
                    f"frame {index} is {frame.dtype} {list(frame.shape)}, "
                    f"the first was uint8 {list(shape)}: expected frames of one size"
                )
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            # Without both of these the encoder guesses the times, and the frame rate comes out wrong.
            picture.pts = index
            picture.time_base = 1 / rate
            container.mux(stream.encode(picture))
        if shape is None:
            raise ValueError(f"no frames to write to {path}: expected at least one [H, W, 3]")
        container.mux(stream.encode(None))


def _checked_shape(frame: np.ndarray) -> tuple[int, ...]:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"a frame is {frame.dtype} {list(frame.shape)}: expected RGB, uint8 [H, W, 3]")
    if frame.shape[0] % 2 or frame.shape[1] % 2:
        raise ValueError(
            f"frames of {frame.shape[0]} x {frame.shape[1]} pixels: expected even sides, crop or pad by one"
        )
    return frame.shape
