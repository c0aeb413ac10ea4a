"""Predictions file of a test, from which everything else can be computed without the videos.

    predictions.parquet    id, label, scores (one for each class), and view_scores if kept; a row a video
    its schema's metadata  class names, and the videos of the manifest that are missing

Shapes: n videos that were scored, V views, K classes.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nlvideo.files import replacing

METADATA_KEY = b"nlvideo"


@dataclass(frozen=True)
class Predictions:
    """Mean softmax scores of the videos of a manifest.

    Attributes:
        ids: n paths, as the manifest writes them.
        labels: int64 [n].
        scores: float32 [n, K].
        class_names: K of them.
        missing: ids of the videos that could not be scored.
        view_scores: float32 [n, V, K], or None.
    """

    ids: list[str]
    labels: np.ndarray
    scores: np.ndarray
    class_names: list[str]
    missing: list[str] = field(default_factory=list)
    view_scores: np.ndarray | None = None

    @property
    def num_videos(self) -> int:
        """Number of videos of the manifest, missing ones counted."""
        return len(self.ids) + len(self.missing)

    def counted(self) -> str:
        return f"{len(self.ids)} of {self.num_videos} videos"


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write a predictions file, whole or not at all."""
    columns = {
        "id": pa.array(predictions.ids, pa.string()),
        "label": pa.array(predictions.labels, pa.int64()),
        "scores": _rows(predictions.scores),
    }
    if predictions.view_scores is not None:
        columns["view_scores"] = _rows(predictions.view_scores.reshape(len(predictions.ids), -1))
    about = {"class_names": predictions.class_names, "missing": predictions.missing}
    table = pa.table(columns).replace_schema_metadata({METADATA_KEY: json.dumps(about)})
    with replacing(path) as partial:
        pq.write_table(table, partial)


def read_predictions(path: str | Path) -> Predictions:
    """Return the predictions in a file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a predictions file of ours, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"predictions {path}: no such file; `nlvideo test` writes predictions.parquet")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:  # OSError: damaged pages
        raise ValueError(f"predictions {path}: not a parquet file ({str(error).splitlines()[0]})") from error
    try:
        class_names, missing = _read_metadata(table)
        num_videos, num_classes = len(table), len(class_names)
        labels = _read_column(table, "label", pa.int64()).to_numpy()
        wrong = labels[(labels < 0) | (labels >= num_classes)]
        if len(wrong):
            raise ValueError(f"label {wrong[0]}; expected 0 to {num_classes - 1}, for its {num_classes} classes")
        view_scores = None
        if "view_scores" in table.column_names:
            num_views = getattr(table["view_scores"].type, "list_size", 0) // num_classes
            view_scores = _read_scores(table, "view_scores", num_views * num_classes)
            view_scores = view_scores.reshape(num_videos, num_views, num_classes)
        return Predictions(
            ids=_read_column(table, "id", pa.string()).to_pylist(),
            labels=labels,
            scores=_read_scores(table, "scores", num_classes),
            class_names=class_names,
            missing=missing,
            view_scores=view_scores,
        )
    except ValueError as error:
        raise ValueError(f"predictions {path}: not as `nlvideo test` writes it: {error}") from error


def _read_metadata(table: pa.Table) -> tuple[list[str], list[str]]:
    """Return the names of classes and of missing videos."""
    metadata = json.loads((table.schema.metadata or {}).get(METADATA_KEY, "null"))
    for key in ("class_names", "missing"):
        names = metadata.get(key) if isinstance(metadata, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"its metadata {METADATA_KEY.decode()!r} has no list of names {key!r}")
    if not metadata["class_names"] or not len(table):
        raise ValueError(f"{len(metadata['class_names'])} classes and {len(table)} videos")
    return metadata["class_names"], metadata["missing"]


def _read_column(table: pa.Table, name: str, dtype: pa.DataType) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise ValueError(f"no column {name!r}, only {', '.join(table.column_names)}")
    column = table[name]
    if column.type != dtype or column.null_count:
        raise ValueError(f"column {name!r} is {column.type}, {column.null_count} cells empty; expected {dtype}, none")
    return column


def _read_scores(table: pa.Table, name: str, length: int) -> np.ndarray:
    """Return float32 [n, length]."""
    column = _read_column(table, name, pa.list_(pa.float32(), length))
    scores = column.combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(len(table), length)
    if not np.isfinite(scores).all():
        raise ValueError(f"column {name!r} has values that are not finite")
    return scores


def _rows(values: np.ndarray) -> pa.Array:
    """Return float [n, m] as n lists of m."""
    flat = pa.array(np.ascontiguousarray(values, dtype=np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
