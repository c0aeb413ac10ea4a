"""Frames by number with decord. The only file that names decord.

decord 0.6 numbers frames wrongly, without an error, in many files: HEVC, MPEG-2, MPEG-4 with B frames, WMV, AVI,
transport streams, edit lists that cut frames away. So it reads only H.264, VP8 and VP9 in .mp4 (.mov) and .mkv (.webm),
and only if every sample is a frame.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from torch import Tensor

from nlvideo.data.video.header import read_header
from nlvideo.data.video.reader import CHUNK, Box, Reader, ReadError

CODECS = {"h264", "vp8", "vp9"}


class DecordReader(Reader):
    """Read with decord. Opening reads the times of all frames and decodes none."""

    name = "decord"
    module = "decord"

    def __init__(self, path: Path):
        try:
            import decord  # here, since not every platform has it
        except (ImportError, OSError) as error:
            raise ReadError(f"decord: cannot be imported ({error})") from error
        header = read_header(path)
        if header is None or header.codec not in CODECS or not header.is_plain:
            kind = header.codec if header and header.codec not in CODECS else "a file of this kind"
            raise ReadError(f"decord: not asked, since it may number the frames of {kind} wrongly")
        self._decord = decord
        self._size = header.size
        decord.logging.set_level(decord.logging.QUIET)  # its log lines name no file; errors are raised
        try:
            # One thread per reader: DataLoader's workers are the parallelism, and decord's own threads have deadlocked.
            self._reader = decord.VideoReader(str(path), num_threads=1)
            self.num_frames = len(self._reader)
            self.fps = self._reader.get_avg_fps()
        except (decord.DECORDError, RuntimeError, AssertionError, AttributeError) as error:
            raise ReadError(_message(error)) from error
        if self.num_frames < 1:
            raise ReadError("decord: no frames")

    @cached_property
    def size(self) -> tuple[int, int]:
        return self._size or tuple(self._batch([0]).shape[1:3])

    def chunks(self, numbers: list[int], box: Box | None) -> Iterator[Tensor]:
        for first in range(0, len(numbers), CHUNK):
            frames = self._batch(numbers[first : first + CHUNK]).permute(0, 3, 1, 2)  # [n, 3, H, W]
            yield frames if box is None else frames[(..., *box.slices)]

    def _batch(self, numbers: list[int]) -> Tensor:
        """Return frames, uint8 [n, H, W, 3]."""
        try:
            # Others in the process may rely on the bridge that they have set, as pytorchvideo does: leave it as it is.
            with self._decord.bridge.use_torch():
                return self._reader.get_batch(numbers)
        except (self._decord.DECORDError, RuntimeError, IndexError) as error:
            raise ReadError(_message(error)) from error


def _message(error: Exception) -> str:
    """Return the first line of decord's message, without its time stamp, source line and stack trace."""
    line = str(error).strip().partition("\n")[0]
    return "decord: " + re.sub(r"^(\[[\d:]+\] )?\S+\.(cc|h):\d+: (Check failed: )?", "", line)
