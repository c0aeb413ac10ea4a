"""Re-encode videos small and with many key frames, so that a random clip is decoded sooner."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from nlvideo.data.prepare.encode import write_video


def transcode(source_and_target: tuple[Path, Path], *, short_side: int, gop: int, crf: int) -> str:
    """Write every frame of the source as H.264 to the target: upright, without sound, at constant frame rate.

    Frame i stays frame i. The target gets its name only when it is complete. Return "", or why it was not written.

    Args:
        short_side: of the frames, at most, in pixels; smaller ones are not enlarged.
        gop, crf: see `write_video`.
    """
    source, target = source_and_target
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with av.open(str(source), metadata_errors="ignore") as container:
            stream = container.streams.best("video")
            if stream is None:
                return "no video stream in it"
            stream.codec_context.thread_count = 1  # the processes are the parallelism
            frames = _resized(container.decode(stream), short_side)
            write_video(target, frames, stream.average_rate or 30, gop=gop, crf=crf)
    except (av.FFmpegError, OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def _resized(frames: Iterator[av.VideoFrame], short_side: int) -> Iterator[np.ndarray]:
    """Yield uint8 [H, W, 3], H and W even."""
    for frame in frames:
        scale = min(short_side / min(frame.width, frame.height), 1)
        size = {"width": round(frame.width * scale / 2) * 2, "height": round(frame.height * scale / 2) * 2}
        picture = frame.to_ndarray(format="rgb24", interpolation="AREA", **size)
        yield np.rot90(picture, frame.rotation // 90)
