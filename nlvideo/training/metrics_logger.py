"""metrics.csv of a run: a row for each log step, validation and epoch, which outlives a full disk and a resume."""

import csv
import os
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn


class MetricsLogger(CSVLogger):
    """CSVLogger whose rows wait for the next ones if they cannot be written."""

    @rank_zero_only
    def save(self) -> None:
        path = Path(self.log_dir) / "metrics.csv"
        size = path.stat().st_size if path.is_file() else 0
        try:
            super().save()
        except OSError as error:
            if path.is_file():
                os.truncate(path, size)  # no half a row
            rank_zero_warn(f"{path}: the latest rows could not be written yet ({error.strerror})")


def metrics_logger(folder: Path, resumed: dict[str, Any] | None) -> MetricsLogger:
    """Return the logger of folder/metrics.csv.

    CSVLogger begins anew if a file lies there; a run that goes on keeps the rows up to its checkpoint `resumed`.
    """
    path = folder / "metrics.csv"
    rows = []
    if resumed is not None and path.is_file() and rank_zero_only.rank == 0:
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if not _comes_again(row, resumed)]
        path.unlink()
    logger = MetricsLogger(folder.parent, name=None, version=folder.name, flush_logs_every_n_steps=1)
    if rows:
        logger.experiment.metrics = rows
        logger.save()
    return logger


def _comes_again(row: dict[str, str], resumed: dict[str, Any]) -> bool:
    """Return whether a run that goes on from a checkpoint writes this row of metrics.csv once more."""
    later = int(row["step"]) - (resumed["global_step"] - 1)  # than the last step that the checkpoint has seen
    if later:
        return later > 0
    epoch_ended = resumed["callbacks"].get("PreemptionCheckpoint", {}).get("epoch_ended", False)
    return bool(row.get("train/loss_epoch")) and not epoch_ended
