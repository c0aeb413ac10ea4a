"""The list of videos: a CSV file with the header ``path,label``, or a list as other codebases use it.

    path,label                          abseiling/0wR5jVB-WPk.mp4 0         SlowFast, pytorchvideo, mmaction2
    abseiling/0wR5jVB-WPk.mp4,0         air drumming/1a2b3c.mp4 1           (any separator; paths may hold spaces)
    air drumming/1a2b3c.mp4,1
                                        abseiling/0wR5jVB-WPk 300 0         mmaction2: folder of frames, their number

Paths are absolute or relative to the manifest's folder, or to another root. Labels are class numbers from 0. Class
names, where known, lie beside the manifest in ``classes.txt``, one a line in the order of the labels.
"""

import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd

_LIST_LINE = re.compile(r"(?P<path>.*[^\s,;])[\s,;]+(?P<label>-?\d+)\s*")
_FRAMES_LINE = re.compile(r"(?P<path>.*\S)\s+\d+\s+(?P<label>-?\d+)\s*")


class Sample(NamedTuple):
    path: Path
    label: int


def read_manifest(path: str | Path, num_classes: int, root: str | Path | None = None) -> list[Sample]:
    """The videos of a manifest, in its order.

    Args:
        root: the folder that relative paths start from; the manifest's own where it is None.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, there is no row, or a label is not a whole number from 0 to
            num_classes - 1; the message names the file and the row.
    """
    path = Path(path)
    root = path.parent if root is None else Path(root)
    if not path.is_file():
        raise FileNotFoundError(f"manifest {path}: no such file; expected a CSV with the header path,label")
    try:
        rows = _list_rows(path, root) or _csv_rows(path)
    except UnicodeDecodeError as error:
        raise ValueError(f"manifest {path}: not a text file ({error})") from error
    samples = []
    for line, video, label in rows:
        if not label.strip().isdecimal() or int(label) >= num_classes:
            raise ValueError(
                f"manifest {path}, line {line}: label {label!r}; expected a whole number from 0 to "
                f"{num_classes - 1}, since data.num_classes is {num_classes}"
            )
        samples.append(Sample(root / video, int(label)))
    return samples


def _list_rows(path: Path, root: Path) -> list[tuple[int, str, str]]:
    """Line number, path and label of each line of a list without a header; empty where it is something else."""
    lines = [(i, line) for i, line in enumerate(path.read_text().splitlines(), start=1) if line.strip()]
    if not lines or not _LIST_LINE.fullmatch(lines[0][1]):
        return []
    frames = _FRAMES_LINE.fullmatch(lines[0][1])
    pattern = _FRAMES_LINE if frames and (root / frames["path"]).is_dir() else _LIST_LINE
    rows = []
    for i, line in lines:
        match = pattern.fullmatch(line)
        if not match:
            raise ValueError(f"manifest {path}, line {i}: {line!r}; expected a path and a label as in the first line")
        rows.append((i, match["path"], match["label"]))
    return rows


def _csv_rows(path: Path) -> list[tuple[int, str, str]]:
    """Line number, path and label of each row of a CSV with a header."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise ValueError(f"manifest {path}: not a CSV with the header path,label ({error})") from error
    missing = {"path", "label"} - set(table.columns)
    if missing:
        raise ValueError(
            f"manifest {path}: no column {' or '.join(sorted(missing))}; its first line has to be the header "
            f"path,label and is {','.join(table.columns)!r}"
        )
    if table.empty:
        raise ValueError(f"manifest {path}: no videos, only a header; add a line path,label for each")
    return list(zip(range(2, len(table) + 2), table["path"], table["label"], strict=True))


def read_class_names(manifest: str | Path, num_classes: int) -> list[str]:
    """The names in ``classes.txt`` beside the manifest, or "class 0", "class 1", .. where there is no such file.

    Raises:
        ValueError: the file has another number of lines than there are classes.
    """
    path = Path(manifest).parent / "classes.txt"
    if not path.is_file():
        return [f"class {label}" for label in range(num_classes)]
    names = path.read_text().splitlines()
    if len(names) != num_classes:
        raise ValueError(f"{path}: {len(names)} class names, but data.num_classes is {num_classes}; make them agree")
    return names
