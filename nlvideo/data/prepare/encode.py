"""Write frames as a video file, with PyAV.  T frames, H rows, W columns."""

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from nlvideo.files import replacing

# Extra frames a decoder must walk through to reach any one frame: at most GOP - 1.
GOP = 16
# x264's quality: 0 is lossless, 51 the worst, 23 its own default.
CRF = 23


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
    """Encode RGB frames, uint8 [T, H, W, 3] or any iterable of [H, W, 3], at `fps` frames a second.

    The container follows the file's suffix. The pixels are stored as yuv420p, which every decoder reads, so
    H and W must be even. `crf` and `preset` are x264's and x265's. One thread, and no date in the file: the
    same frames give the same bytes on one machine. The file gets its name only when it is whole.
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
