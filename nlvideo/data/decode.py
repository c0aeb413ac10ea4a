"""The only place that opens a video."""

import re
from pathlib import Path

import numpy as np
import torch  # before decord: the other order can crash at import
from torch import Tensor

import decord  # isort: skip


class DecodeError(ValueError):
    """A video that cannot be read. The message is one line: its path and the decoder's own words."""


class Video:
    """A video file, open for reading. Open it where it is read: an open reader cannot go to another process.

    Attributes:
        num_frames: as the container says.

    Raises:
        DecodeError: the file is missing or not a video that the decoder knows.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            raise DecodeError(f"{path}: no such file")
        try:
            # One thread a reader: the DataLoader's workers are the parallelism, and decord's own has dead-locked.
            self._reader = decord.VideoReader(str(path), num_threads=1)
            self.num_frames = len(self._reader)
        except (decord.DECORDError, RuntimeError) as error:
            raise self._error(error) from error
        if self.num_frames < 1:
            raise DecodeError(f"{path}: no frames")

    def frames(self, indices: np.ndarray) -> Tensor:
        """The frames of those numbers, each decoded once however often it is named.

        Args:
            indices: int [T], in any order.

        Returns:
            uint8 [T, 3, H, W], RGB.
        """
        wanted, position = np.unique(indices, return_inverse=True)
        try:
            # Others in the process set decord's bridge (pytorchvideo does, on import), so say what comes back.
            decord.bridge.set_bridge("torch")
            decoded = self._reader.get_batch(wanted.tolist())  # [distinct frames, H, W, 3]
        except (decord.DECORDError, RuntimeError, IndexError) as error:
            raise self._error(error) from error
        return decoded.permute(0, 3, 1, 2)[torch.from_numpy(position.reshape(-1))]

    def _error(self, error: Exception) -> DecodeError:
        # decord's messages begin with a time stamp and a source line and end in a stack trace of its own.
        first_line = str(error).strip().partition("\n")[0]
        words = re.sub(r"^(\[[\d:]+\] )?\S+\.(cc|cu|h):\d+: (Check failed: )?", "", first_line)
        return DecodeError(f"{self.path}: {words}")
