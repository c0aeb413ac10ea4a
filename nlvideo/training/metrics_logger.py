"""metrics.csv of a run: a row for each log step, validation and epoch, which outlives a full disk and a resume."""

import csv
import os
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from nlvideo.files import replacing


class MetricsLogger(CSVLogger):
    """CSVLogger that never loses a row: what cannot be written waits for the next rows."""

    @rank_zero_only
    def save(self) -> None:
        writer, path = self.experiment, Path(self.log_dir) / "metrics.csv"
        if not writer.metrics:
            return
        columns = sorted({*writer.metrics_keys, *(name for row in writer.metrics for name in row)})
        try:
            if path.is_file() and columns == writer.metrics_keys:
                _append(path, writer.metrics, columns)
            else:
                _write(path, [*_read(path), *writer.metrics], columns)
        except OSError as error:
            rank_zero_warn(f"{path}: the latest rows could not be written yet ({error.strerror})")
        else:
            writer.metrics, writer.metrics_keys = [], columns


def metrics_logger(folder: Path, resumed: dict[str, Any] | None) -> MetricsLogger:
    """Return the logger of folder/metrics.csv.

    CSVLogger begins anew if a file lies there; a run that goes on keeps the rows up to its checkpoint `resumed`.
    """
    path = folder / "metrics.csv"
    logger = MetricsLogger(folder.parent, name=None, version=folder.name, flush_logs_every_n_steps=1)
    if rank_zero_only.rank == 0 and resumed is not None and (rows := _read(path)):
        kept = [row for row in rows if not _comes_again(row, resumed)]
        columns = sorted(rows[0])
        with replacing(path) as partial:
            _write(partial, kept, columns)
            logger.experiment.metrics_keys = columns  # making it removes the file
    return logger


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, rows: list[dict[str, Any]], columns: list[str]) -> None:
    with replacing(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def _append(path: Path, rows: list[dict[str, Any]], columns: list[str]) -> None:
    size = path.stat().st_size
    try:
        with path.open("a", newline="") as file:
            csv.DictWriter(file, columns).writerows(rows)
    except OSError:
        os.truncate(path, size)  # no half a row
        raise


def _comes_again(row: dict[str, str], resumed: dict[str, Any]) -> bool:
    """Return whether a run that goes on from a checkpoint writes this row of metrics.csv once more."""
    later = int(row["step"]) - (resumed["global_step"] - 1)  # than the last step that the checkpoint has seen
    if later:
        return later > 0
    epoch_ended = resumed["callbacks"].get("PreemptionCheckpoint", {}).get("epoch_ended", False)
    return bool(row.get("train/loss_epoch")) and not epoch_ended
