"""Is a video what it says it is? Decodes all of it."""

from dataclasses import dataclass
from pathlib import Path

import av

from nlvideo.data.video import DecodeError, ReadError, Video
from nlvideo.data.video.pyav import PyavReader

CLEAN = ("ok", "over-reported")  # what a clean manifest holds
PROBLEMS = {
    "missing": "no such file",
    "unsupported": "no decoder for it, or no video stream",
    "corrupt": "cannot be decoded to its end",
    "truncated": "breaks off: less than 95 % of the frames that its header promises",
    "over-reported": "decodes well, but has up to 5 % fewer frames than its header promises",
    "too short": "fewer frames than asked for",
}


@dataclass(frozen=True)
class Check:
    """What was found. Zeros where nothing was.

    Attributes:
        status: "ok" or one of PROBLEMS.
        num_frames: that decode.
        promised: frames that the header says, or that follow from its duration.
        message: the decoder's own, of a video that is not ok.
    """

    status: str
    num_frames: int = 0
    promised: int = 0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    codec: str = ""
    message: str = ""

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.num_frames / self.fps if self.fps else 0.0


def check_video(path: Path, min_frames: int = 1) -> Check:
    """Decodes every frame of a video, or opens every image of a folder."""
    if path.is_dir():
        return _check_folder(path, min_frames)
    if not path.is_file():
        return Check("missing", message="no such file")
    try:
        reader = PyavReader(path)
    except ReadError as error:
        unsupported = "no decoder" in str(error) or "no video stream" in str(error)
        return Check("unsupported" if unsupported else "corrupt", message=str(error))
    message = ""
    num_frames = width = height = 0
    with av.open(str(path), metadata_errors="ignore") as container:
        stream = container.streams.best("video")
        promised = stream.frames or round(float((container.duration or 0) / av.time_base * (stream.average_rate or 0)))
        found = {"promised": promised, "fps": round(reader.fps, 3), "codec": stream.codec_context.codec.canonical_name}
        try:
            for frame in container.decode(stream):
                num_frames += 1
                sideways = frame.rotation % 180 != 0
                width, height = (frame.height, frame.width) if sideways else (frame.width, frame.height)
        except av.FFmpegError as error:
            message = f"PyAV, after frame {num_frames} of {reader.num_frames}: {error.strerror}"
    found |= {"num_frames": num_frames, "width": width, "height": height}
    if num_frames < reader.num_frames:  # of the frames that are there
        return Check("corrupt", message=message or f"{num_frames} of {reader.num_frames} frames decode", **found)
    if num_frames < 0.95 * promised:
        return Check("truncated", message=f"{num_frames} of {promised} frames", **found)
    if num_frames < min_frames:
        return Check("too short", message=f"{num_frames} frames", **found)
    if num_frames < promised - 1:  # a duration may round up to a frame more
        return Check("over-reported", message=f"{num_frames} of {promised} frames", **found)
    return Check("ok", **found)


def _check_folder(path: Path, min_frames: int) -> Check:
    try:
        video = Video(path)
        for number in range(video.num_frames):
            height, width = video.frames(number).shape[-2:]
    except DecodeError as error:
        return Check("corrupt", message=str(error).removeprefix(f"{path}: "))
    found = {"num_frames": video.num_frames, "promised": video.num_frames, "width": width, "height": height}
    return Check("too short" if video.num_frames < min_frames else "ok", codec="images", **found)
