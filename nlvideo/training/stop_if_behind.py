"""Ends a training that falls behind another run at the same epoch: a hopeless variant behind its sweep's baseline."""

import csv
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from nlvideo.console import console
from nlvideo.files import write_json

STOPPED = "stopped.json"  # in the folder of a run that was ended: at which epoch, and the scores


class StopIfBehind(Callback):
    """Tells a training to stop if its clip-level top-1 is too far below that of a reference run at the same epoch.

    After each validation the latest epoch is looked at that both runs have validated. It never waits: as long as the
    reference has validated no such epoch, because it is behind or was not started, the training goes on.

    Args:
        reference: metrics.csv of the other run; it need not exist yet.
        after_epochs: compare from the validation after so many epochs on.
        below: percentage points that the training may be below the reference.
    """

    def __init__(self, reference: str, after_epochs: int, below: float):
        self.reference = Path(reference)
        self.after_epochs = after_epochs
        self.below = below
        self.scores: dict[int, float] = {}  # by the number of epochs trained

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epochs = trainer.current_epoch + 1
        if trainer.sanity_checking or epochs == trainer.max_epochs:
            return
        self.scores[epochs] = trainer.callback_metrics["val/clip_top1"].item()
        found = self._behind() if trainer.is_global_zero else None
        if trainer.strategy.broadcast(found) is None:
            return
        trainer.should_stop = True
        if trainer.is_global_zero:
            write_json(Path(trainer.default_root_dir) / STOPPED, {"stopped_after": epochs, **found})
            console().print(f"stopped: {describe_stop({'stopped_after': epochs, **found})}", highlight=False)

    def _behind(self) -> dict[str, float] | None:
        """Return the epoch at which this run is too far behind, and both scores there; None if it is not."""
        theirs = read_scores(self.reference)
        both = [epochs for epochs in self.scores.keys() & theirs.keys() if epochs >= self.after_epochs]
        if not both:
            return None
        epochs = max(both)
        is_behind = self.scores[epochs] < theirs[epochs] - self.below / 100
        found = {"epoch": epochs, "top1": self.scores[epochs], "reference_top1": theirs[epochs]}
        return found if is_behind else None

    def state_dict(self) -> dict[str, Any]:
        return {"scores": self.scores}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.scores = state_dict["scores"]


def read_scores(metrics_csv: Path) -> dict[int, float]:
    """Return clip-level top-1 of each validation in a metrics.csv, by the number of epochs trained.

    Another process may be writing the file: of its last line only what ends in a line break counts.
    """
    if not metrics_csv.is_file():
        return {}
    whole_lines = metrics_csv.read_text().rpartition("\n")[0].splitlines()
    rows = [row for row in csv.DictReader(whole_lines) if row.get("val/clip_top1")]
    return {int(row["epoch"]) + 1: float(row["val/clip_top1"]) for row in rows}


def describe_stop(stopped: dict[str, float]) -> str:
    """Return the content of stopped.json in words."""
    return (
        f"after epoch {stopped['stopped_after']}, for its clip-level top-1 at epoch {stopped['epoch']} was "
        f"{100 * stopped['top1']:.1f} %, the baseline's {100 * stopped['reference_top1']:.1f} %"
    )
