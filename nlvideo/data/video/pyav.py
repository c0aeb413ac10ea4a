"""Frames of a video file by number, with PyAV (FFmpeg)."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import av
import numpy as np
from torch import Tensor

from nlvideo.data.video.reader import Prepare, ReadError, assemble

SKIPPING = {"h264", "hevc", "vp9", "mpeg4"}  # decoders that leave out what nothing needs, packet by packet
COUNTED = {"avi", "mpeg"}  # containers whose times are guesses: AVI stores none, MPEG-1/2 not one for each frame


class PyavReader:
    """The frames of a file, by number in the order of their times. Opening reads the times of all frames, decoding
    none.

        number            0   1   2   3   4   5   6   7   8   9
        kind              K   b   P   b   P   K   b   P   b   P        K: key frame, b: no other frame needs it
        for 2 and 8       *   .   #           *   .   *   #            #: decoded and converted, *: decoded, .: left out

    Where times are missing, given twice or guessed, frames are counted from the beginning instead.
    """

    name = "pyav"

    def __init__(self, path: Path):
        self._path = path
        try:
            self._open()
            frames = [(packet.pts, packet.is_keyframe) for packet in self._packets() if not packet.is_discard]
        except av.FFmpegError as error:
            raise ReadError(_words(error)) from error
        if not frames:
            raise ReadError("PyAV: no frames")
        self.num_frames = len(frames)
        self.fps = float(self._stream.average_rate or 0)
        self._times = self._keys = None
        times = {time for time, _ in frames}
        if None not in times and len(times) == len(frames) and self._container.format.name not in COUNTED:
            self._times = sorted(times)
            self._keys = [number for number, (_, is_key) in enumerate(sorted(frames)) if is_key]

    def _open(self) -> None:
        # Titles and comments in an unknown encoding are no reason to refuse the pictures.
        self._container = av.open(str(self._path), metadata_errors="ignore")
        self._stream = self._container.streams.best("video")
        if self._stream is None:
            raise ReadError("PyAV: no video stream in it")
        if self._stream.codec_context is None:
            raise ReadError("PyAV: no decoder for its video stream")
        self._stream.codec_context.thread_count = 1  # the DataLoader's workers are the parallelism

    def _packets(self) -> Iterator[av.Packet]:
        """One a frame, in the order of the file; of a file that is cut off, those that are there."""
        num_read = 0
        try:
            for packet in self._container.demux(self._stream):
                if packet.size and not packet.is_corrupt:
                    num_read += 1
                    yield packet
        except av.FFmpegError:
            if not num_read:
                raise

    def frames(self, numbers: list[int], prepare: Prepare) -> Tensor:
        pictures = (p for key, same in groupby(numbers, self._key_before) for p in self._pictures(key, [*same]))
        try:
            return assemble(pictures, len(numbers), prepare)
        except av.FFmpegError as error:
            raise ReadError(_words(error)) from error

    def _key_before(self, number: int) -> int | None:
        """The frame from which decoding reaches `number` soonest; None for the beginning of the file."""
        place = bisect_right(self._keys, number) if self._keys else 0
        return self._keys[place - 1] if place else None

    def _pictures(self, key: int | None, numbers: list[int]) -> Iterator[np.ndarray]:
        """[H, W, 3] for each number. At the end of what decodes, the last frame stands for those that are missing."""
        last = None
        given = 0
        for number, frame in self._decoded_from(key, numbers):
            if last is None and number > numbers[0]:
                break  # the container sought too far
            last = frame
            while number >= numbers[given]:
                yield _upright(frame)
                given += 1
                if given == len(numbers):
                    return
        if last is not None:
            yield from [_upright(last)] * (len(numbers) - given)
        elif key is not None:
            yield from self._pictures(None, numbers)
        else:
            raise ReadError("PyAV: none of its frames decodes")

    def _decoded_from(self, key: int | None, numbers: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Number and picture of the frames from that one on, in the order of their numbers; some that are not among
        `numbers` are left out."""
        if key is None:
            self._open()  # not every container can seek to its first frame
            yield from enumerate(self._decode(set()))
        else:
            self._container.seek(self._times[key], stream=self._stream)
            for frame in self._decode({self._times[number] for number in numbers}):
                if frame.pts is not None:
                    yield bisect_left(self._times, frame.pts), frame

    def _decode(self, wanted: set[int]) -> Iterator[av.VideoFrame]:
        """All frames from here on; where the times of the wanted ones are given, perhaps only these and those they
        need."""
        codec = self._stream.codec_context
        can_skip = bool(wanted) and codec.name in SKIPPING
        for packet in self._packets():
            codec.skip_frame = "NONREF" if can_skip and packet.pts not in wanted else "DEFAULT"
            yield from codec.decode(packet)
        yield from codec.decode(None)


def _upright(frame: av.VideoFrame) -> np.ndarray:
    """[H, W, 3], turned as the file says that it was filmed."""
    return np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)


def _words(error: av.FFmpegError) -> str:
    return f"PyAV: {error.strerror}"
