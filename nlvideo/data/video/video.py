"""`Video`: open a file or a folder of images with the first decoder that reads it, and return frames by number."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from nlvideo.data.video.decord import DecordReader
from nlvideo.data.video.images import ImageReader
from nlvideo.data.video.pyav import PyavReader
from nlvideo.data.video.reader import Box, Prepare, Reader, ReadError
from nlvideo.data.video.torchcodec import TorchcodecCudaReader, TorchcodecReader

# A new decoder is one line here.
READERS: dict[str, type[Reader]] = {
    "decord": DecordReader,
    "pyav": PyavReader,
    "torchcodec": TorchcodecReader,
    "torchcodec_cuda": TorchcodecCudaReader,
}
AUTO = ("decord", "pyav")  # in the order in which they try

Decoder = Literal[("auto", *READERS)]


class DecodeError(ValueError):
    """A video that cannot be read. The message is one line: the path and the decoders' own words."""


class Video:
    """An open video. Open it in the process that reads it: an open decoder cannot be pickled.

    Args:
        path: a video file, or a folder of images.
        decoder: a name in READERS; "auto" tries those of AUTO in turn.

    Attributes:
        num_frames: as counted in the file, not as its header says.
        fps: average frame rate; 0 if unknown.
        height, width: of the upright frames, in pixels.
        decoder: the one that reads it: decord, pyav, .. or images.

    Raises:
        DecodeError: there is no such file, or no decoder can open it.
        ValueError: there is no such decoder.
    """

    def __init__(self, path: str | Path, decoder: Decoder = "auto"):
        self.path = Path(path)
        self._untried = _readers(decoder)
        self._refusals: list[str] = []
        try:
            is_folder = self.path.is_dir()
            if not is_folder and not self.path.is_file():
                raise DecodeError(f"{path}: no such file")
        except OSError as error:  # a folder without permission, a name too long, a network disk that is away
            raise DecodeError(f"{path}: {error.strerror}") from error
        if is_folder:
            self._untried = [ImageReader]
        self._open_next()

    @property
    def num_frames(self) -> int:
        return self._reader.num_frames

    @property
    def fps(self) -> float:
        return self._reader.fps

    @property
    def decoder(self) -> str:
        return self._reader.name

    @property
    def height(self) -> int:
        return self._try(lambda reader: reader.size)[0]

    @property
    def width(self) -> int:
        return self._try(lambda reader: reader.size)[1]

    def frames(self, indices: np.ndarray, prepare: Prepare | None = None, box: Box | None = None) -> Tensor:
        """Return frames by number, each decoded once however often it is asked for. Numbers past the last frame that
        decodes give that one.

        Args:
            indices: int, of any shape and in any order.
            prepare: called on a few frames at a time as they are decoded, such as a resize.
            box: the part of each frame to return; it is cut before `prepare`, as early as the decoder allows.

        Returns:
            uint8 RGB [*indices.shape, 3, h, w].

        Raises:
            DecodeError: a frame cannot be decoded.
        """
        indices = np.asarray(indices)
        return self._try(lambda reader: _read(reader, indices, prepare, box))

    def _try(self, read: Callable[[Reader], Tensor]) -> Tensor:
        """Return read(reader) of the first reader that does not fail."""
        while True:
            try:
                return read(self._reader)
            except (ReadError, OSError) as error:
                self._refuse(error)

    def _open_next(self) -> None:
        try:
            self._reader = self._untried.pop(0)(self.path)
        except (ReadError, OSError) as error:
            self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        self._refusals.append(str(error.strerror if isinstance(error, OSError) else error))
        if not self._untried:
            raise DecodeError(f"{self.path}: {'; '.join(self._refusals)}") from error
        self._open_next()


def _readers(decoder: Decoder) -> list[type[Reader]]:
    if decoder != "auto" and decoder not in READERS:
        raise ValueError(f"decoder {decoder!r}: expected one of auto, {', '.join(READERS)}")
    return [READERS[name] for name in (AUTO if decoder == "auto" else (decoder,))]


def _read(reader: Reader, indices: np.ndarray, prepare: Prepare | None, box: Box | None) -> Tensor:
    """Return [*indices.shape, 3, h, w]. Frames are prepared a chunk at a time, so that a thousand frames of a large
    video are never held at full size."""
    if box is not None and not box.is_inside(*reader.size):
        raise ReadError(f"its frames of {reader.size[0]} x {reader.size[1]} pixels do not hold {box}")
    wanted, places = np.unique(np.minimum(indices, reader.num_frames - 1), return_inverse=True)
    frames = None
    done = 0
    for chunk in reader.chunks(wanted.tolist(), box):
        if box is not None and chunk.shape[-2:] != (box.height, box.width):
            raise ReadError("its frames are smaller than its header says")
        chunk = chunk if prepare is None else prepare(chunk)
        if len(chunk) == len(wanted):
            frames = chunk
            break
        if frames is None:
            frames = chunk.new_empty(len(wanted), *chunk.shape[1:])
            if get_worker_info() is not None and not frames.is_cuda:
                frames.share_memory_()  # goes to the main process without a copy
        if chunk.shape[1:] != frames.shape[1:]:
            raise ReadError("its frames differ in size")
        frames[done : done + len(chunk)] = chunk
        done += len(chunk)
    if np.array_equal(wanted, indices.ravel()):
        return frames.unflatten(0, indices.shape) if indices.ndim else frames[0]  # without a copy
    return frames[torch.from_numpy(places.reshape(indices.shape))]


def check_decoder(decoder: Decoder) -> None:
    """Raise ValueError if there is no such decoder, or if it cannot work here."""
    if decoder == "auto":
        return  # whichever is there
    [reader] = _readers(decoder)
    try:
        reader.check_usable()
    except (ImportError, OSError, RuntimeError) as error:
        message = str(error).strip().partition("\n")[0]
        raise ValueError(f"decoder {decoder}: {message}; pip install {reader.module}") from error
