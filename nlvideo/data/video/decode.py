"""Frames of a video by number, from whatever holds them. The only place that names decord.

PyAV reads first and decord what PyAV cannot, or the other way round. Measured: both cost the same for each frame
decoded, but PyAV can leave out frames that nobody asked for, reads AV1, and always gives the frame of the number;
decord 0.6 gives others, silently, wherever a file's key frames do not stand alone or its times do not start at 0 (HEVC,
MPEG-2, MPEG-4 with B frames, WMV, transport streams). So decord reads H.264, VP8 and VP9 only.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import av
import numpy as np
import torch  # before decord: the other order can crash at import
from torch import Tensor

from nlvideo.data.video.images import ImageReader
from nlvideo.data.video.pyav import PyavReader
from nlvideo.data.video.reader import CHUNK, Prepare, Reader, ReadError, assemble

import decord  # isort: skip

Decoder = Literal["pyav", "decord"]


class DecodeError(ValueError):
    """A video that cannot be read. The message is one line: its path and the decoders' own words."""


class Video:
    """A video file, or a folder of images, open for reading. Open it where it is read: an open decoder cannot go to
    another process.

    Args:
        path: of the file or folder.
        decoder: the one that tries first.

    Attributes:
        num_frames: as counted in the file, not as its header says.
        fps: frames a second on average; 0 where nothing says.

    Raises:
        DecodeError: the file is missing, or no decoder can open it.
    """

    def __init__(self, path: str | Path, decoder: Decoder = "pyav"):
        self.path = Path(path)
        if self.path.is_dir():
            self._untried: list[type[Reader]] = [ImageReader]
        elif self.path.is_file():
            self._untried = [PyavReader, DecordReader] if decoder == "pyav" else [DecordReader, PyavReader]
        else:
            raise DecodeError(f"{path}: no such file")
        self._refusals: list[str] = []
        self._open_next()
        self.num_frames = self._reader.num_frames
        self.fps = self._reader.fps

    @property
    def decoder(self) -> str:
        """Who reads it: pyav, decord or images."""
        return self._reader.name

    def frames(self, indices: np.ndarray, prepare: Prepare = lambda frames: frames) -> Tensor:
        """The frames of those numbers, each decoded once however often it is named. Numbers past the last frame that
        decodes give that one.

        Args:
            indices: int, of any shape and in any order.
            prepare: done to each frame as soon as it is decoded, such as a resize.

        Returns:
            uint8 [*indices.shape, 3, H, W], RGB, or what `prepare` makes of it.

        Raises:
            DecodeError: a frame cannot be decoded.
        """
        indices = np.asarray(indices)
        wanted, position = np.unique(np.minimum(indices, self.num_frames - 1), return_inverse=True)
        while True:
            try:
                decoded = self._reader.frames(wanted.tolist(), prepare)  # [distinct frames, 3, H, W]
                break
            except ReadError as error:
                self._refuse(error)
        if np.array_equal(wanted, indices):
            return decoded  # a copy of all frames of a long video would be felt
        return decoded[torch.from_numpy(position.reshape(indices.shape))]

    def _open_next(self) -> None:
        """The next decoder that opens the file."""
        try:
            self._reader: Reader = self._untried.pop(0)(self.path)
        except ReadError as error:
            self._refuse(error)

    def _refuse(self, error: ReadError) -> None:
        self._refusals.append(str(error))
        if not self._untried:
            raise DecodeError(f"{self.path}: {'; '.join(self._refusals)}") from error
        self._open_next()


class DecordReader:
    """The frames of a file, by number. Opening reads the places and times of all frames, decoding none."""

    name = "decord"

    def __init__(self, path: Path):
        decord.logging.set_level(decord.logging.QUIET)  # FFmpeg's own lines name no file, and the errors come back
        try:
            with av.open(str(path), metadata_errors="ignore") as container:
                stream = container.streams.best("video")
                codec, form = stream and stream.codec.name, container.format.name
            if codec not in {"h264", "vp8", "vp9"} or form == "mpegts":
                raise ReadError(f"decord: not for {codec} in {form}, whose frames it may number wrongly")
            # One thread a reader: the DataLoader's workers are the parallelism, and decord's own has dead-locked.
            self._reader = decord.VideoReader(str(path), num_threads=1)
            self.num_frames = len(self._reader)
            self.fps = self._reader.get_avg_fps()
        except av.FFmpegError as error:
            raise ReadError(f"decord: {error.strerror}") from error
        except (decord.DECORDError, RuntimeError, AttributeError) as error:
            raise ReadError(_words(error)) from error
        if self.num_frames < 1:
            raise ReadError("decord: no frames")

    def frames(self, numbers: list[int], prepare: Prepare) -> Tensor:
        # Others in the process set decord's bridge (pytorchvideo does, on import), so say what comes back.
        decord.bridge.set_bridge("native")
        try:
            return assemble(self._pictures(numbers), len(numbers), prepare)
        except (decord.DECORDError, RuntimeError, IndexError) as error:
            raise ReadError(_words(error)) from error

    def _pictures(self, numbers: list[int]) -> Iterator[np.ndarray]:
        for first in range(0, len(numbers), CHUNK):
            some = [min(number, self.num_frames - 1) for number in numbers[first : first + CHUNK]]
            yield from self._reader.get_batch(some).asnumpy()


def _words(error: Exception) -> str:
    """The first line of decord's message, without its time stamp, its source line and its stack trace."""
    line = str(error).strip().partition("\n")[0]
    return "decord: " + re.sub(r"^(\[[\d:]+\] )?\S+\.(cc|h):\d+: (Check failed: )?", "", line)
