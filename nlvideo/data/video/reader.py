"""The interface of a decoder: a `Reader` is an open video that yields frames by number."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

CHUNK = 16  # frames of full size held at once

Prepare = Callable[[Tensor], Tensor]  # uint8 [n, 3, H, W] -> uint8 [n, 3, h, w], such as a resize


class Box(NamedTuple):
    """A part of a frame, in pixels of the upright frame."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def is_inside(self, height: int, width: int) -> bool:
        return 0 <= self.top <= height - self.height and 0 <= self.left <= width - self.width


class ReadError(Exception):
    """What a decoder cannot read: its own words in one line, without the path."""


class Reader(ABC):
    """An open video. To add a decoder, subclass this and add the class to `nlvideo.data.video.video.READERS`.

    Args:
        path: an existing file (for `ImageReader`, a folder).

    Attributes:
        name: of the decoder.
        module: the Python module that it needs.
        num_frames: as counted in the file, not as its header says.
        fps: average frame rate; 0 if unknown.
        size: height and width of the upright frames.

    Raises:
        ReadError: the decoder cannot read this file.
    """

    name: ClassVar[str]
    module: ClassVar[str]
    num_frames: int
    fps: float
    size: tuple[int, int]

    @classmethod
    def check_usable(cls) -> None:
        """Raise ImportError, OSError or RuntimeError if the decoder is not installed or cannot work here."""
        importlib.import_module(cls.module)

    @abstractmethod
    def __init__(self, path: Path): ...

    @abstractmethod
    def chunks(self, numbers: list[int], box: Box | None) -> Iterator[Tensor]:
        """Yield the frames of these numbers (distinct and rising), upright and cut to `box`: uint8 RGB
        [n, 3, h, w], at most CHUNK frames at a time.

        Raises:
            ReadError: one of them cannot be decoded.
        """


def stack(pictures: Iterable[np.ndarray], box: Box | None) -> Tensor:
    """Return uint8 pictures [H, W, 3], cut to `box`, as one tensor [n, 3, h, w].

    Raises:
        ReadError: they differ in size.
    """
    pictures = [*pictures]
    if len({picture.shape for picture in pictures}) > 1:
        raise ReadError("its frames differ in size")
    parts = pictures if box is None else [picture[box.slices] for picture in pictures]
    return torch.from_numpy(np.stack(parts)).permute(0, 3, 1, 2)
