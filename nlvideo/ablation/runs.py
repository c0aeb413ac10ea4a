"""One run of a sweep: its folder, what the files in it say about how far it has come, and who is at it."""

import json
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from nlvideo.training.run_lock import LOCK
from nlvideo.training.stop_if_behind import STOPPED

FAILURE = "failed.json"  # the error of the last attempt
TRAINED_IN = "trained_in"  # in fit.json: the folder of the training, if it is another run's
ATTEMPT = "run.json"  # how the run was started


@dataclass(frozen=True)
class StopRule:
    """When a variant is given up: if, after so many epochs or later, its clip-level top-1 is more than
    `below_baseline` percentage points below that of the baseline's run of the same seed at the same epoch."""

    after_epochs: int
    below_baseline: float

    def holds(self, stopped: dict[str, Any]) -> bool:
        """Return whether what stopped.json says is reason enough to stop."""
        is_behind = stopped["top1"] < stopped["reference_top1"] - self.below_baseline / 100
        return is_behind and stopped["epoch"] >= self.after_epochs


@dataclass(frozen=True)
class Run:
    """Training and test of a variant with one seed.

    Attributes:
        key: of its resolved configuration; two runs of one key are the same run, whatever they are called. What is
            before its dash is of the training alone, see `train_key`.
        label: for people.
        group: of the run in Weights & Biases.
        slug: beginning of the folder's name.
        arguments: of ``nlvideo fit``.
        work: multiply-adds of a clip times epochs, to which its time is taken to be proportional.
        sets_workers: whether its configuration gives data.num_workers.
        stop: when to give it up; None for never, as the baseline.
        baseline: the baseline's run of the same seed, if there is a rule to stop.
    """

    key: str
    label: str
    group: str
    slug: str
    arguments: tuple[str, ...]
    work: float
    sets_workers: bool
    stop: StopRule | None = None
    baseline: "Run | None" = None

    @property
    def train_key(self) -> str:
        """Equal for runs that differ in the test alone: they are trained once."""
        return self.key.partition("-")[0]

    def folder(self, output: Path) -> Path:
        """Return the run's folder, found by the key: a run that was renamed since is still the same run."""
        found = sorted(output.glob(f"*-{self.key}"))
        return found[0] if found else output / f"{self.slug}-{self.key}"

    def lock_file(self, output: Path) -> Path:
        """Return the lock of whoever works on the run, or on one of the same training."""
        return output / ".locks" / f"{self.train_key}.lock"


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold the lock of a file if it is free, and yield whether it was. It is freed when this process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(FileLock(path, timeout=0))
            is_free = True
        except Timeout:
            is_free = False
        yield is_free


def is_in_training(folder: Path) -> bool:
    """Return whether a training, of whomever, holds the folder."""
    if not folder.is_dir():
        return False
    with try_lock(folder / LOCK) as is_free:
        return not is_free


def is_running(run: Run, output: Path) -> bool:
    """Return whether a process works on the run."""
    with try_lock(run.lock_file(output)) as is_free:
        return not is_free or is_in_training(run.folder(output))


def is_trained(folder: Path) -> bool:
    """Return whether training is finished: fit.json is written after the final checkpoint."""
    return (folder / "fit.json").is_file()


def stopped(run: Run, output: Path) -> dict[str, Any] | None:
    """Return what is known of a run that was given up: at which epoch, and the scores; None if it was not, or the rule
    has changed so that it would not be."""
    path = run.folder(output) / STOPPED
    content = json.loads(path.read_text()) if path.is_file() else None
    return content if content and run.stop and run.stop.holds(content) else None


def is_done(run: Run, output: Path) -> bool:
    """Return whether nothing is left to do: the run is finished or given up."""
    return is_finished(run.folder(output)) or stopped(run, output) is not None


def trained_folder(run: Run, output: Path) -> Path | None:
    """Return a folder with the final checkpoint of the run's training: its own, or of a run with the same one."""
    folders = [run.folder(output), *sorted(output.glob(f"*-{run.train_key}-*"))]
    whole = (its for its in folders if is_trained(its) and not (its / STOPPED).is_file())
    return next((its for its in whole if (its / "last.ckpt").is_file()), None)


def is_finished(folder: Path) -> bool:
    """Return whether training and test are finished: a test writes its predictions last."""
    return is_trained(folder) and all((folder / name).is_file() for name in ("test.json", "predictions.parquet"))


def is_interrupted(folder: Path) -> bool:
    """Return whether a training left a whole checkpoint to go on from. A file cut off by a kill is no zip."""
    return not is_trained(folder) and zipfile.is_zipfile(folder / "last.ckpt")


def failure(folder: Path) -> str | None:
    """Return the error of the last attempt, if it failed."""
    path = folder / FAILURE
    return json.loads(path.read_text())["error"] if path.is_file() else None


def failure_time(folder: Path) -> int | None:
    """Return when the last attempt failed, to tell one failure from another."""
    path = folder / FAILURE
    return path.stat().st_mtime_ns if path.is_file() else None


def seconds(folder: Path) -> dict[str, float] | None:
    """Return the seconds of training, over interruptions, and of the test; None before both are finished."""
    if not is_finished(folder):
        return None
    return {"train": read(folder, "fit.json")["seconds"], "test": read(folder, "test.json")["seconds"]}


def read(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / name).read_text())
