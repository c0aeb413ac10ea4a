"""What every decoder offers to `nlvideo.data.decode.Video`."""

from typing import Protocol

from torch import Tensor


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

    def frames(self, numbers: list[int]) -> Tensor:
        """The frames of those numbers, rising and distinct: uint8 [T, 3, H, W], RGB, upright.

        Raises:
            ReadError: one of them cannot be decoded.
        """
