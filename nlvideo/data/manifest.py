"""Manifests, the lists of a data set's videos: a CSV file with the header ``path,label``, or a list as other codebases
use it.

    path,label                          abseiling/0wR5jVB-WPk.mp4 0         SlowFast, pytorchvideo, mmaction2
    abseiling/0wR5jVB-WPk.mp4,0         air drumming/1a2b3c.mp4 1           (any separator; paths may hold spaces)
    air drumming/1a2b3c.mp4,1
                                        abseiling/0wR5jVB-WPk 300 0         mmaction2: folder of frames, their number

Paths are absolute or relative to the manifest's folder, or to another root. Labels are class numbers from 0. Class
names, if known, are in ``classes.txt`` beside the manifest, one a line in the order of the labels.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nlvideo.files import replacing

COLUMNS = ("path", "label", "id", "num_frames", "fps", "width", "height", "duration")  # of the manifests that we write

_LIST_LINE = re.compile(r"(?P<path>.*[^\s,;])[\s,;]+(?P<label>-?\d+)\s*")
_FRAMES_LINE = re.compile(r"(?P<path>.*\S)\s+\d+\s+(?P<label>-?\d+)\s*")


class Sample(NamedTuple):
    """A video of a manifest."""

    path: Path
    label: int
    id: str  # the path as the manifest writes it, which names the video in predictions


class Row(NamedTuple):
    """A line of a manifest, as text."""

    line: int  # from 1
    path: str
    label: str


def read_manifest(path: str | Path, num_classes: int | None = None, root: str | Path | None = None) -> list[Sample]:
    """Return the videos of a manifest, in its order.

    Args:
        num_classes: None takes any label.
        root: the folder that relative paths start from; None is the manifest's own.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no manifest, holds no video, has a label that is not a whole number from 0 to
            num_classes - 1, or gives one path two labels. The message names the file and the line.
    """
    path = Path(path)
    root = path.parent if root is None else Path(root)
    if not path.is_file():
        raise FileNotFoundError(f"manifest {path}: no such file; expected a CSV with the header path,label")
    try:
        rows = _list_rows(path, root) or list(_csv_rows(path))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"manifest {path}: not a text file ({error})") from error
    if not rows:
        raise ValueError(f"manifest {path}: no videos, only a header; add a line path,label for each")
    samples = []
    first_row: dict[Path, Row] = {}
    for row in rows:
        if not row.label.strip().isdecimal() or (num_classes is not None and int(row.label) >= num_classes):
            highest = "" if num_classes is None else f" to {num_classes - 1}, since data.num_classes is {num_classes}"
            raise ValueError(
                f"manifest {path}, line {row.line}: label {row.label!r}; expected a whole number from 0{highest}"
            )
        sample = Sample(root / row.path, int(row.label), row.path)
        first = first_row.setdefault(sample.path, row)
        if int(first.label) != sample.label:
            raise ValueError(
                f"manifest {path}, line {row.line}: {row.path} has label {sample.label} here and {int(first.label)} in "
                f"line {first.line}; a video has one label, so remove one of the lines"
            )
        samples.append(sample)
    return samples


def _list_rows(path: Path, root: Path) -> list[Row]:
    """The rows of a list without a header; none if the file is something else."""
    lines = [(i, line) for i, line in enumerate(_read_text(path).splitlines(), start=1) if line.strip()]
    if not lines or not _LIST_LINE.fullmatch(lines[0][1]):
        return []
    frames = _FRAMES_LINE.fullmatch(lines[0][1])
    pattern = _FRAMES_LINE if frames and (root / frames["path"]).is_dir() else _LIST_LINE
    rows = []
    for i, line in lines:
        match = pattern.fullmatch(line)
        if not match:
            raise ValueError(f"manifest {path}, line {i}: {line!r}; expected a path and a label as in the first line")
        rows.append(Row(i, match["path"], match["label"]))
    return rows


def _csv_rows(path: Path) -> Iterator[Row]:
    """The rows of a CSV with a header."""
    reader = csv.reader(io.StringIO(_read_text(path), newline=""))
    columns = next((fields for fields in reader if fields), [])
    missing = [column for column in ("path", "label") if column not in columns]
    if missing:
        raise ValueError(
            f"manifest {path}: no column {' or '.join(missing)}; its first line has to be the header "
            f"path,label and is {','.join(columns)!r}"
        )
    for fields in reader:
        if len(fields) == len(columns):
            row = dict(zip(columns, fields, strict=True))
            yield Row(reader.line_num, row["path"], row["label"])
        elif fields:
            raise ValueError(
                f"manifest {path}, line {reader.line_num}: {len(fields)} fields, {','.join(fields)!r}, but the header "
                f"{','.join(columns)} has {len(columns)}; a path with a comma in it needs quotes around it"
            )


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark in front of the first path


def read_class_names(manifest: str | Path, num_classes: int) -> list[str]:
    """Return the names in ``classes.txt`` beside the manifest, or "class 0", "class 1", .. if there is no such file.

    Raises:
        ValueError: if the file has another number of lines than there are classes.
    """
    path = Path(manifest).parent / "classes.txt"
    if not path.is_file():
        return [f"class {label}" for label in range(num_classes)]
    names = _read_text(path).rstrip().splitlines()
    if len(names) != num_classes:
        raise ValueError(f"{path}: {len(names)} class names, but data.num_classes is {num_classes}; make them agree")
    return names


def fingerprint(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return the number of videos and a SHA-256 of their ids and labels, in the order of the ids.

    Two runs with the same fingerprint had the same list of videos; what is in the files is not part of it.
    """
    lines = sorted(f"{sample.id}\t{sample.label}\n" for sample in samples)
    return {"videos": len(lines), "sha256": hashlib.sha256("".join(lines).encode()).hexdigest()}


def relative_to(path: Path, folder: Path) -> str:
    """Return the path as a manifest in `folder` writes it: relative if the video is below, else absolute."""
    path, folder = path.absolute(), folder.absolute()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def write_manifest(path: Path, rows: Iterable[dict], classes: Sequence[str] | None) -> None:
    """Write a CSV of rows with the keys of COLUMNS, and the class names to ``classes.txt`` beside it.

    Raises:
        ValueError: if another classes.txt is there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if classes is not None:
        sidecar, text = path.parent / "classes.txt", "".join(f"{name}\n" for name in classes)
        if sidecar.is_file() and _read_text(sidecar) != text:
            raise ValueError(f"{sidecar}: names other classes; write to another folder, or remove it")
        sidecar.write_text(text, encoding="utf-8")
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
