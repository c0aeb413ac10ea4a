"""The length, rate and size of a video, as a manifest lists them."""

from pathlib import Path

from nlvideo.data.video import DecodeError, Video


def probe(path: Path) -> dict[str, int | float]:
    """Return the columns of a manifest that describe the video; none if it cannot be read."""
    try:
        video = Video(path)
        size = {"num_frames": video.num_frames, "width": video.width, "height": video.height}
    except DecodeError:
        return {}
    if not video.fps:
        return size
    return {**size, "fps": round(video.fps, 3), "duration": round(video.num_frames / video.fps, 3)}
