"""Progress of a test, so that one that was stopped goes on: ``nlvideo test --resume``.

<results>/test_progress/
  *.pt     rows of the `VideoScores` of each variant, by each process as the test goes; removed when it has ended
"""

import hashlib
import shutil
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

from nlvideo.data.module import VideoData
from nlvideo.files import replacing

FOLDER = "test_progress"
SECONDS = 20.0  # between two files: what a killed test loses at most

Rows = dict[str, dict[int, dict[str, Any]]]  # by variant and row of the manifest


class EvaluationProgress:
    """The files in which a test keeps the scores that it has.

    Args:
        folder: where its results go.
        settings: what another test must have in common for a video to have the same scores, see `scoring_settings`.
    """

    def __init__(self, folder: Path, settings: dict[str, str]):
        self.folder = folder / FOLDER
        self.settings = settings
        self.dtype: str | None = None  # in which the network computes, once that is known
        self._written: set[int] = set()
        self._last_write = time.monotonic()

    def read(self) -> Rows:
        """Return the rows that a stopped test has left.

        Raises:
            ValueError: if there are none, or it was a test with other settings.
        """
        files = progress_files(self.folder.parent)
        if not files:
            raise ValueError(f"{self.folder}: no test was stopped here; leave out --resume")
        rows: Rows = {}
        for file in files:
            content = torch.load(file, weights_only=True)
            different = [key for key, value in self.settings.items() if content["settings"].get(key) != value]
            if different:
                raise ValueError(
                    f"{self.folder}: is of a test with other settings ({', '.join(different)}); leave out --resume to "
                    "begin anew"
                )
            for variant, of_variant in content["rows"].items():
                rows.setdefault(variant, {}).update(of_variant)
            self.dtype = content["dtype"]
        self._written = set().union(*rows.values())
        return rows

    def write(self, rows: Rows) -> None:
        """Write the rows that no file has, if `SECONDS` have passed since the last time.

        A video has a row in each variant, or in none.
        """
        if time.monotonic() - self._last_write < SECONDS:
            return
        new = {
            variant: {index: row for index, row in of_variant.items() if index not in self._written}
            for variant, of_variant in rows.items()
        }
        videos = set().union(*new.values())
        if videos:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.folder / f"{uuid4().hex}.pt") as partial:
                torch.save({"settings": self.settings, "dtype": self.dtype, "rows": new}, partial)
            self._written |= videos
        self._last_write = time.monotonic()

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def progress_files(folder: Path) -> list[Path]:
    """Return what a stopped test has left in a folder of results; a half-written file's name begins with a point."""
    return sorted((folder / FOLDER).glob("[!.]*.pt"))


def scoring_settings(data: VideoData, checkpoint: Path | None, **others: object) -> dict[str, str]:
    """Return what determines the scores of a video in a test.

    Args:
        checkpoint: of the network; None if it was not loaded from a file.
        others: settings of the network's half, such as its dtype.
    """
    samples = "\n".join(f"{sample.path.absolute()} {sample.label}" for sample in data.samples["test"])
    status = checkpoint.stat() if checkpoint else None
    return {
        "checkpoint": f"{checkpoint.name}, {status.st_size} bytes, {status.st_mtime_ns}" if status else "none",
        "manifest": hashlib.sha256(samples.encode()).hexdigest(),
        "views": f"{data.clip_sampling}, {data.num_clips}, {data.views('test')}, {data.eval_short_side}",
        "decoder": str(data.reading["decoder"]),
        **{name: str(value) for name, value in others.items()},
    }
