"""One run of a sweep: its folder, and what the files in it say about how far it has come."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FAILURE = "failed.json"  # the error of the last attempt
ATTEMPT = "run.json"  # how the run was started


@dataclass(frozen=True)
class Run:
    """A training and a test, of a variant with a seed.

    Attributes:
        key: of its resolved configuration. Runs of one key are the same run, whatever they are called.
        label: for people.
        slug: the beginning of its folder's name.
        arguments: of ``nlvideo fit``.
        work: multiply-adds of a clip times epochs: what estimates of its time are proportional to.
        sets_workers: its configuration gives data.num_workers.
    """

    key: str
    label: str
    slug: str
    arguments: tuple[str, ...]
    work: float
    sets_workers: bool

    def folder(self, output: Path) -> Path:
        """Found by the key: a run that was given another name since is still the same run."""
        found = sorted(output.glob(f"*-{self.key}"))
        return found[0] if found else output / f"{self.slug}-{self.key}"

    def claim_file(self, output: Path) -> Path:
        return output / ".claims" / f"{self.key}.lock"


def is_finished(folder: Path) -> bool:
    # A test writes its predictions last.
    return (folder / "test.json").is_file() and (folder / "predictions.parquet").is_file()


def is_trained(folder: Path) -> bool:
    return (folder / "fit.json").is_file()


def is_interrupted(folder: Path) -> bool:
    """Training has left a whole checkpoint to go on from; half of one, from a kill during its writing, is no zip."""
    return not is_trained(folder) and zipfile.is_zipfile(folder / "last.ckpt")


def failure(folder: Path) -> str | None:
    path = folder / FAILURE
    return json.loads(path.read_text())["error"] if path.is_file() else None


def failed_at(folder: Path) -> int | None:
    """Which failure this is: two of them differ in it."""
    path = folder / FAILURE
    return path.stat().st_mtime_ns if path.is_file() else None


def seconds(folder: Path) -> dict[str, float] | None:
    """Of the training, over interruptions, and the test of a finished run; None for another."""
    if not is_finished(folder):
        return None
    return {"train": read(folder, "fit.json")["seconds"], "test": read(folder, "test.json")["seconds"]}


def read(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / name).read_text())
