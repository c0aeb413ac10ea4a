"""The predictions file: what a test leaves, so that everything else can be computed without the videos.

    predictions.parquet    id, label, scores (one for each class), and where asked for view_scores; a row a video
    its schema's metadata  class names, number of videos in the manifest, and the missing ones

Letters: n videos that were scored, K classes, V views.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nlvideo.files import replacing

METADATA_KEY = b"nlvideo"


@dataclass(frozen=True)
class Predictions:
    """Averaged scores of each video.

    Attributes:
        ids: paths as the manifest writes them, n of them.
        labels: int64 [n].
        scores: float32 [n, K], each row a mean of softmaxes.
        class_names: K of them.
        missing: ids of the manifest's videos that could not be scored.
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
        """Of the manifest, the missing ones counted."""
        return len(self.ids) + len(self.missing)

    def counted(self) -> str:
        return f"{len(self.ids)} of {self.num_videos} videos"


def write_predictions(path: Path, predictions: Predictions) -> None:
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
        FileNotFoundError: there is no such file.
        ValueError: it is not a predictions file of ours, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"predictions {path}: no such file; `nlvideo test` writes predictions.parquet")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:  # OSError: damaged pages
        raise ValueError(f"predictions {path}: not a parquet file ({str(error).splitlines()[0]})") from error
    try:
        return _parse(table)
    except ValueError as error:
        raise ValueError(f"predictions {path}: not as `nlvideo test` writes it: {error}") from error


def _parse(table: pa.Table) -> Predictions:
    """Raise ValueError if anything is not as `write_predictions` writes it."""
    class_names, missing = _metadata(table)
    num_classes = len(class_names)
    ids = _column(table, "id", pa.types.is_string).to_pylist()
    labels = _column(table, "label", pa.types.is_int64).to_numpy()
    outside = labels[(labels < 0) | (labels >= num_classes)]
    if len(outside):
        raise ValueError(f"label {outside[0]}; expected 0 to {num_classes - 1}, since there are {num_classes} classes")
    scores = _floats(table, "scores")
    views = _floats(table, "view_scores") if "view_scores" in table.column_names else None
    if scores.shape[1] != num_classes or (views is not None and views.shape[1] % num_classes):
        raise ValueError(f"{scores.shape[1]} scores of a video; expected one for each of the {num_classes} classes")
    view_scores = None if views is None else views.reshape(len(ids), -1, num_classes)
    return Predictions(ids, labels, scores, class_names, missing, view_scores)


def _metadata(table: pa.Table) -> tuple[list[str], list[str]]:
    """Class names and missing videos."""
    try:
        about = json.loads((table.schema.metadata or {}).get(METADATA_KEY, "null"))
    except ValueError as error:
        raise ValueError(f"its metadata {METADATA_KEY.decode()!r} is not JSON ({error})") from error
    for key in ("class_names", "missing"):
        names = about.get(key) if isinstance(about, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"its metadata {METADATA_KEY.decode()!r} has no list of names {key!r}")
    return about["class_names"], about["missing"]


def _column(table: pa.Table, name: str, is_right_type: Callable[[pa.DataType], bool]) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise ValueError(f"no column {name!r}, only {', '.join(table.column_names)}")
    column = table[name]
    if not is_right_type(column.type) or column.null_count:
        raise ValueError(f"column {name!r} is of type {column.type}, with {column.null_count} empty cells")
    return column


def _floats(table: pa.Table, name: str) -> np.ndarray:
    """float32 [n, m] of a column of lists of m."""
    column = _column(table, name, lambda type: pa.types.is_fixed_size_list(type) and type.value_type == pa.float32())
    values = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    if not np.isfinite(values).all():
        raise ValueError(f"column {name!r} has values that are not finite")
    return values.reshape(table.num_rows, column.type.list_size)


def _rows(values: np.ndarray) -> pa.Array:
    """float [n, m] -> n lists of m."""
    flat = pa.array(np.ascontiguousarray(values, dtype=np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
