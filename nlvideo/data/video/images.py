"""A folder of images as a video: one image per frame, in the order of their names (00001.jpg or img_00001.jpg ..)."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from nlvideo.data.video.reader import CHUNK, Box, Reader, ReadError, stack

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


class ImageReader(Reader):
    """Read the images of a folder, numbered from 0."""

    name = "images"
    module = "PIL"
    fps = 0.0

    def __init__(self, path: Path):
        self._images = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        self.num_frames = len(self._images)
        if not self._images:
            raise ReadError(f"a folder without images ({' '.join(sorted(SUFFIXES))})")

    @cached_property
    def size(self) -> tuple[int, int]:
        return self._read(0).shape[:2]

    def chunks(self, numbers: list[int], box: Box | None) -> Iterator[Tensor]:
        for first in range(0, len(numbers), CHUNK):
            yield stack((self._read(number) for number in numbers[first : first + CHUNK]), box)

    def _read(self, number: int) -> np.ndarray:
        """Return an image, uint8 [H, W, 3]."""
        path = self._images[number]
        try:
            with Image.open(path) as image:
                return np.asarray(image.convert("RGB"))
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as error:
            raise ReadError(f"{path.name}: {error}") from error
