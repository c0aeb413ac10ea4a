"""The list of videos: a CSV file with the header ``path,label``.

    path,label
    abseiling/0wR5jVB-WPk.mp4,0
    air drumming/1a2b3c.mp4,1

Paths are absolute or relative to the manifest's folder. Labels are class numbers from 0. Class names, where known,
lie beside the manifest in ``classes.txt``, one a line in the order of the labels.
"""

from pathlib import Path
from typing import NamedTuple

import pandas as pd


class Sample(NamedTuple):
    path: Path
    label: int


def read_manifest(path: str | Path, num_classes: int) -> list[Sample]:
    """The videos of a manifest, in its order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, there is no row, or a label is not a whole number from 0 to
            num_classes - 1; the message names the file and the row.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"manifest {path}: no such file; expected a CSV with the header path,label")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(f"manifest {path}: not a CSV with the header path,label ({error})") from error
    missing = {"path", "label"} - set(table.columns)
    if missing:
        raise ValueError(
            f"manifest {path}: no column {' or '.join(sorted(missing))}; its first line has to be the header "
            f"path,label and is {','.join(table.columns)!r}"
        )
    if table.empty:
        raise ValueError(f"manifest {path}: no videos, only a header; add a line path,label for each")

    folder = path.parent
    samples = []
    for line, (video, label) in enumerate(zip(table["path"], table["label"], strict=True), start=2):
        if not label.strip().isdecimal() or int(label) >= num_classes:
            raise ValueError(
                f"manifest {path}, line {line}: label {label!r}; expected a whole number from 0 to "
                f"{num_classes - 1}, since data.num_classes is {num_classes}"
            )
        samples.append(Sample(folder / video, int(label)))
    return samples


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
