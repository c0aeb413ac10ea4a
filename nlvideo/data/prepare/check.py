"""Look into video files: size and length, are all frames there, do all decoders give the same ones?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from nlvideo.data.video import DecodeError, Decoder, ReadError, Video, check_decoder
from nlvideo.data.video.pyav import PyavReader, upright

CLEAN = ("ok", "over-reported")  # what a clean manifest holds
PROBLEMS = {
    "missing": "no such file",
    "unsupported": "no decoder for it, or no video stream",
    "corrupt": "cannot be decoded to its end",
    "truncated": "breaks off: less than 95 % of the frames that its header promises",
    "over-reported": "decodes well, but has up to 5 % fewer frames than its header promises",
    "too short": "fewer frames than asked for",
}
NUM_COMPARED = 16  # frames of a video, spread evenly


@dataclass(frozen=True)
class Check:
    """What decoding a video showed; zeros for what is unknown.

    Attributes:
        status: "ok" or a key of PROBLEMS.
        num_frames: that decode.
        promised: frames according to the header, or to its duration.
        message: of the decoder, if the video is not ok.
    """

    status: str
    num_frames: int = 0
    promised: int = 0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    codec: str = ""
    message: str = ""


def check_video(path: Path, min_frames: int = 1) -> Check:
    """Decode every frame of a video, or open every image of a folder."""
    try:
        if path.is_dir():
            return _check_folder(path, min_frames)
        if not path.is_file():
            return Check("missing", message="no such file")
        reader = PyavReader(path)
    except OSError as error:
        return Check("missing", message=error.strerror)
    except ReadError as error:
        is_unsupported = "no decoder" in str(error) or "no video stream" in str(error)
        return Check("unsupported" if is_unsupported else "corrupt", message=str(error))
    message = ""
    num_frames = width = height = 0
    with av.open(str(path), metadata_errors="ignore") as container:
        stream = container.streams.best("video")
        promised = stream.frames or round(float((container.duration or 0) / av.time_base * (stream.average_rate or 0)))
        found = {"promised": promised, "fps": round(reader.fps, 3), "codec": stream.codec_context.codec.canonical_name}
        try:
            for frame in container.decode(stream):
                num_frames += 1
                is_turned = frame.rotation % 180 != 0
                width, height = (frame.height, frame.width) if is_turned else (frame.width, frame.height)
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
            video.frames(np.array(number))
    except DecodeError as error:
        return Check("corrupt", message=str(error).removeprefix(f"{path}: "))
    num_frames = video.num_frames
    status, message = ("ok", "") if num_frames >= min_frames else ("too short", f"{num_frames} frames")
    return Check(status, num_frames, num_frames, 0.0, video.width, video.height, "images", message)


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


def compare_decoders(path: Path, decoders: Sequence[Decoder] = ("decord", "pyav", "torchcodec")) -> list[str]:
    """Return, for each decoder that reads the video and numbers its frames in another way than FFmpeg does when it
    decodes the file from its beginning, a line that says so. Frames are asked for one by one, from the last to the
    first, since wrong numbers come from seeking.
    """
    with av.open(str(path), metadata_errors="ignore") as container:
        num_frames = sum(1 for _ in container.decode(container.streams.best("video")))
    numbers = set(np.linspace(0, num_frames - 1, NUM_COMPARED).round().astype(int).tolist())
    with av.open(str(path), metadata_errors="ignore") as container:
        frames = enumerate(container.decode(container.streams.best("video")))
        expected = {number: upright(frame).astype(int) for number, frame in frames if number in numbers}  # [H, W, 3]
    lines = []
    for decoder in decoders:
        try:
            check_decoder(decoder)
            video = Video(path, decoder)
            if video.num_frames != num_frames:
                lines.append(f"{decoder}: {video.num_frames} frames, not {num_frames}")
                continue
            for number in sorted(numbers, reverse=True):
                frame = video.frames(np.array(number)).permute(1, 2, 0).numpy()
                error = np.abs(frame - expected[number]).mean()
                if error > 0:
                    lines.append(f"{decoder}: frame {number} differs by {error:.1f} levels on average")
                    break
        except ValueError:
            continue  # not installed, or it leaves the file to another one
    return lines
