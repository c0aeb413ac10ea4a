"""Videos whose pixels tell the number of each frame, for every test that asks which frames were read.

Letters: T frames, H x W pixels.
"""

import numpy as np
import pytest
import torch
from torch import Tensor

from nlvideo.data.encode import write_video

NUM_BITS = 8
HEIGHT, WIDTH = 64, 96  # eight stripes of eight pixels: wide enough for any codec's blocks


def draw_numbers(numbers) -> np.ndarray:
    """Frames uint8 [T, H, W, 3] that carry a number from 0 to 255 each, in binary: stripes across the whole width,
    black for 0 and white for 1, the lowest bit on top. A flip, a crop along the width and a resize leave them
    readable."""
    bits = (np.asarray(numbers)[:, None] >> np.arange(NUM_BITS)) & 1  # [T, bits]
    rows = np.repeat(bits * 255, HEIGHT // NUM_BITS, axis=1).astype(np.uint8)  # [T, H]
    return np.broadcast_to(rows[:, :, None, None], (len(rows), HEIGHT, WIDTH, 3))


@pytest.fixture(scope="session")
def write_numbered():
    """write_numbered(path, num_frames, fps=30, **of write_video): frame i of the video carries the number i."""

    def write(path, num_frames, fps=30, **options):
        write_video(path, draw_numbers(np.arange(num_frames)), fps, **options)
        return path

    return write


@pytest.fixture(scope="session")
def read_numbers():
    """read_numbers(frames): the numbers that the pixels of uint8 [..., 3, T, H, W] or, with time_dim=-4,
    [..., T, 3, H, W] carry, as nested lists."""

    def read(frames: Tensor, time_dim: int = -3) -> list:
        frames = frames.movedim(time_dim, -4)  # (..., T, 3, H, W)
        assert frames.dtype == torch.uint8
        height = frames.shape[-2]
        middles = (torch.arange(NUM_BITS) * 2 + 1) * height // (2 * NUM_BITS)
        stripes = frames.float()[..., middles, :].mean(dim=(-3, -1))  # (..., T, bits)
        assert ((stripes < 64) | (stripes > 192)).all(), "a stripe is neither black nor white"
        return ((stripes > 128).long() << torch.arange(NUM_BITS)).sum(dim=-1).tolist()

    return read
