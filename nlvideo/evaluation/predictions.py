"""The predictions file: what a test leaves, so that everything else can be computed without the videos.

    predictions.parquet    id, label, scores (one for each class), and where asked for view_scores; a row a video
    its schema's metadata  class names, number of videos in the manifest, and the missing ones

Letters: n videos that were scored, K classes, V views.
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
    """Averaged scores of each video.

    Attributes:
        ids: n names, each once: paths as in the manifest.
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
    """
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a predictions file of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"predictions {path}: no such file; `nlvideo test` writes predictions.parquet")
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"predictions {path}: not a parquet file ({str(error).splitlines()[0]})") from error
    if METADATA_KEY not in (table.schema.metadata or {}):
        raise ValueError(f"predictions {path}: not written by `nlvideo test`; it lacks the metadata {METADATA_KEY!r}")
    about = json.loads(table.schema.metadata[METADATA_KEY])
    num_videos, num_classes = table.num_rows, len(about["class_names"])
    view_scores = None
    if "view_scores" in table.column_names:
        view_scores = _array(table["view_scores"]).reshape(num_videos, -1, num_classes)
    return Predictions(
        ids=table["id"].to_pylist(),
        labels=table["label"].to_numpy(),
        scores=_array(table["scores"]).reshape(num_videos, num_classes),
        class_names=about["class_names"],
        missing=about["missing"],
        view_scores=view_scores,
    )


def _rows(values: np.ndarray) -> pa.Array:
    """float [n, m] -> n lists of m."""
    flat = pa.array(np.ascontiguousarray(values, dtype=np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _array(column: pa.ChunkedArray) -> np.ndarray:
    """Lists of m -> float32 [n * m]."""
    return column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
