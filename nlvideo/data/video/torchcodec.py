"""Frames by number with torchcodec, on the CPU or on an NVIDIA GPU. Optional; it needs FFmpeg's shared libraries."""

import re
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from nlvideo.data.video.reader import CHUNK, Box, Reader, ReadError

COUNTED = re.compile(rb"RIFF|G|\x00\x00\x01\xba")  # the first bytes of AVI, MPEG-TS and MPEG-PS


class TorchcodecReader(Reader):
    """Read with torchcodec. Opening reads the times of all frames and decodes none."""

    name = "torchcodec"
    module = "torchcodec"
    device = "cpu"

    @classmethod
    def check_usable(cls) -> None:
        super().check_usable()
        import torchcodec

        # 0.17 can be imported without them, for its decoders of images.
        if getattr(torchcodec, "ffmpeg_major_version", "unknown") is None:
            raise RuntimeError("FFmpeg's shared libraries were not found, which it needs")

    def __init__(self, path: Path):
        from torchcodec.decoders import VideoDecoder  # here, since it is an optional package

        with path.open("rb") as file:
            if COUNTED.match(file.read(4)):
                raise ReadError("torchcodec: not asked, since it may number the frames of AVI and MPEG files wrongly")
        try:
            self._decoder = VideoDecoder(str(path), num_ffmpeg_threads=1, device=self.device, seek_mode="exact")
        except (RuntimeError, ValueError, AssertionError) as error:
            raise ReadError(_message(error)) from error
        self.num_frames = len(self._decoder)
        self.fps = self._decoder.metadata.average_fps or 0.0
        self.size = self._decoder.metadata.height, self._decoder.metadata.width

    def chunks(self, numbers: list[int], box: Box | None) -> Iterator[Tensor]:
        for first in range(0, len(numbers), CHUNK):
            try:
                frames = self._decoder.get_frames_at(numbers[first : first + CHUNK]).data  # [n, 3, H, W]
            except (RuntimeError, ValueError, IndexError) as error:
                raise ReadError(_message(error)) from error
            yield frames if box is None else frames[(..., *box.slices)]


class TorchcodecCudaReader(TorchcodecReader):
    """Decode on the current GPU (NVDEC); frames stay there. It needs a process that may use CUDA, which DataLoader's
    forked workers may not."""

    name = "torchcodec_cuda"
    device = "cuda"

    @classmethod
    def check_usable(cls) -> None:
        super().check_usable()
        if not torch.cuda.is_available():
            raise RuntimeError("no GPU that torch can use")


def _message(error: Exception) -> str:
    return "torchcodec: " + str(error).strip().partition("\n")[0]
