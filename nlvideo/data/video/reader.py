"""What every decoder offers to `nlvideo.data.video.decode.Video`."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

CHUNK = 16  # pictures of full size held at once

Prepare = Callable[[Tensor], Tensor]  # uint8 [n, 3, H, W] -> uint8 [n, 3, h, w], such as a resize


class ReadError(Exception):
    """A decoder's own words on what it cannot read, in one line, without the path."""


class Reader(Protocol):
    """An open video.

    Attributes:
        name: of the decoder.
        num_frames: as counted in the file, not as its header says.
        fps: frames a second on average; 0 where nothing says.
    """

    name: str
    num_frames: int
    fps: float

    def frames(self, numbers: list[int], prepare: Prepare) -> Tensor:
        """The frames of those numbers, rising and distinct, RGB, upright and prepared: uint8 [T, 3, h, w].

        Raises:
            ReadError: one of them cannot be decoded.
        """


def assemble(pictures: Iterable[np.ndarray], count: int, prepare: Prepare) -> Tensor:
    """`count` pictures [H, W, 3], prepared a few at a time, so that a thousand frames of a large video are never held
    in full size: uint8 [count, 3, h, w].

    Raises:
        ReadError: the pictures differ in size.
    """
    pictures = iter(pictures)
    prepared = None
    for first in range(0, count, CHUNK):
        some = list(islice(pictures, CHUNK))
        if len({picture.shape for picture in some}) > 1:
            raise ReadError("its pictures differ in size")
        chunk = prepare(torch.from_numpy(np.stack(some)).permute(0, 3, 1, 2))
        if prepared is None:
            if len(chunk) == count:
                return chunk
            prepared = chunk.new_empty(count, *chunk.shape[1:])
            if get_worker_info() is not None:
                prepared.share_memory_()  # goes to the main process as it is, where else a copy would
        if chunk.shape[1:] != prepared.shape[1:]:
            raise ReadError("its pictures differ in size")
        prepared[first : first + len(chunk)] = chunk
    assert prepared is not None, "no pictures were asked for"
    return prepared
