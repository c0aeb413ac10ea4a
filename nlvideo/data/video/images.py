"""A video as a folder of images, one a frame, in the order of their names: 00001.jpg or img_00001.jpg .."""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from nlvideo.data.video.reader import Prepare, ReadError, assemble

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


class ImageReader:
    """The images of a folder, by number from 0."""

    name = "images"
    fps = 0.0  # nothing says

    def __init__(self, path: Path):
        self._images = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        self.num_frames = len(self._images)
        if not self._images:
            raise ReadError(f"a folder without images ({' '.join(sorted(SUFFIXES))})")

    def frames(self, numbers: list[int], prepare: Prepare) -> Tensor:
        return assemble((_read(self._images[number]) for number in numbers), len(numbers), prepare)


def _read(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))  # [H, W, 3]
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise ReadError(f"{path.name}: {error}") from error
