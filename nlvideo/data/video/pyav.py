"""Frames by number with PyAV (FFmpeg)."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import cached_property
from itertools import groupby, islice
from pathlib import Path

import av
import numpy as np
from torch import Tensor

from nlvideo.data.video.header import read_header
from nlvideo.data.video.reader import CHUNK, Box, Reader, ReadError, stack

SKIPPING = {"h264", "hevc", "vp9", "mpeg4"}  # codecs whose decoders can leave out frames that no other frame needs
COUNTED = {"avi", "mpeg"}  # containers whose times are guesses: AVI stores none, MPEG-1/2 not one per frame


class PyavReader(Reader):
    """Read with PyAV, numbering frames in the order of their times. Opening reads all times and decodes no frame.

        number            0   1   2   3   4   5   6   7   8   9
        kind              K   b   P   b   P   K   b   P   b   P        K: key frame, b: no other frame needs it
        for 2 and 8       *   .   #           *   .   *   #            #: decoded and converted, *: decoded, .: left out

    If times are missing, given twice or guessed, frames are counted from the beginning instead.
    """

    name = "pyav"
    module = "av"

    def __init__(self, path: Path):
        self._path = path
        try:
            self._open()
            frames = [(packet.pts, packet.is_keyframe) for packet in self._packets() if not packet.is_discard]
        except av.FFmpegError as error:
            raise ReadError(_message(error)) from error
        if not frames:
            raise ReadError("PyAV: no frames")
        self.num_frames = len(frames)
        self.fps = float(self._stream.average_rate or 0)
        self._times = self._keys = None
        times = {time for time, _ in frames}
        if None not in times and len(times) == len(frames) and self._container.format.name not in COUNTED:
            self._times = sorted(times)
            self._keys = [number for number, (_, is_key) in enumerate(sorted(frames)) if is_key]

    @cached_property
    def size(self) -> tuple[int, int]:
        codec, header = self._stream.codec_context, read_header(self._path)
        if not (codec.height and codec.width) or (header and not header.is_plain):  # unknown, or turned perhaps
            return tuple(next(self.chunks([0], None)).shape[-2:])
        return codec.height, codec.width

    def chunks(self, numbers: list[int], box: Box | None) -> Iterator[Tensor]:
        frames = (f for key, same in groupby(numbers, self._key_before) for f in self._frames_from(key, [*same]))
        pictures = (upright(frame) for frame in frames)
        try:
            for first in range(0, len(numbers), CHUNK):
                yield stack(islice(pictures, min(CHUNK, len(numbers) - first)), box)
        except av.FFmpegError as error:
            raise ReadError(_message(error)) from error

    def _open(self) -> None:
        # Titles and comments in an unknown encoding are no reason to refuse the pictures.
        self._container = av.open(str(self._path), metadata_errors="ignore")
        self._stream = self._container.streams.best("video")
        if self._stream is None:
            raise ReadError("PyAV: no video stream in it")
        if self._stream.codec_context is None:
            raise ReadError("PyAV: no decoder for its video stream")
        self._stream.codec_context.thread_count = 1  # DataLoader's workers are the parallelism

    def _packets(self) -> Iterator[av.Packet]:
        """Yield the packets, one per frame, in the order of the file; of a file that is cut off, those that are
        there."""
        num_read = 0
        try:
            for packet in self._container.demux(self._stream):
                if packet.size and not packet.is_corrupt:
                    num_read += 1
                    yield packet
        except av.FFmpegError:
            if not num_read:
                raise

    def _key_before(self, number: int) -> int | None:
        """Return the frame from which decoding reaches `number` soonest; None for the beginning of the file."""
        place = bisect_right(self._keys, number) if self._keys else 0
        return self._keys[place - 1] if place else None

    def _frames_from(self, key: int | None, numbers: list[int]) -> Iterator[av.VideoFrame]:
        """Yield a frame for each number. If fewer frames decode, the last one stands for those that are missing."""
        last = None
        given = 0
        for number, frame in self._decoded_from(key, numbers):
            if last is None and number > numbers[0]:
                break  # the container sought too far
            last = frame
            while number >= numbers[given]:
                yield frame
                given += 1
                if given == len(numbers):
                    return
        if last is not None:
            yield from [last] * (len(numbers) - given)
        elif key is not None:
            yield from self._frames_from(None, numbers)
        else:
            raise ReadError("PyAV: none of its frames decodes")

    def _decoded_from(self, key: int | None, numbers: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield (number, frame) from `key` on, in the order of numbers; some that are not in `numbers` are left
        out."""
        if key is None:
            self._open()  # not every container can seek to its first frame
            yield from enumerate(self._decode(set()))
        else:
            self._container.seek(self._times[key], stream=self._stream)
            for frame in self._decode({self._times[number] for number in numbers}):
                if frame.pts is not None:
                    yield bisect_left(self._times, frame.pts), frame

    def _decode(self, wanted: set[int]) -> Iterator[av.VideoFrame]:
        """Decode from here on. If the times of the wanted frames are given, frames that neither they nor others need
        may be left out."""
        codec = self._stream.codec_context
        can_skip = bool(wanted) and codec.name in SKIPPING
        for packet in self._packets():
            codec.skip_frame = "NONREF" if can_skip and packet.pts not in wanted else "DEFAULT"
            yield from codec.decode(packet)
        yield from codec.decode(None)


def upright(frame: av.VideoFrame) -> np.ndarray:
    """Return [H, W, 3], turned as the file says that it was filmed."""
    return np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)


def _message(error: av.FFmpegError) -> str:
    return f"PyAV: {error.strerror}"
