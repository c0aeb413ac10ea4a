"""Annotation files as the data sets publish them, read into entries of our manifest.

Each function takes the published file(s) and the folder of the videos, and returns a Listing. Only kinetics and folders
look at the videos themselves: file names there follow no single rule.
"""

import csv
import json
import re
from pathlib import Path
from typing import NamedTuple

from nlvideo.data.manifest import read_manifest

SUFFIXES = {".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".flv"}


class Entry(NamedTuple):
    path: Path
    label: int
    id: str


class Listing(NamedTuple):
    entries: list[Entry]
    classes: list[str] | None  # names in the order of the labels; None where the files name none


def kinetics(annotation: Path, videos: Path, classes: list[str] | None = None) -> Listing:
    """Kinetics-400, 600, 700: the official csv with the header ``label,youtube_id,time_start,time_end,split``.

    A video is looked for as ``<label>/<id>_<start>_<end>.mp4`` and ``<label>/<id>.mp4``, with spaces or underscores in
    the label, and in `videos` itself. Labels are numbered in alphabetical order.

    Args:
        classes: the names in the order of their numbers, for a split that does not name them all.
    """
    with annotation.open(newline="") as file:
        rows = list(csv.DictReader(file))
    _need_columns(annotation, rows, ("label", "youtube_id", "time_start", "time_end"))
    names = classes or sorted({row["label"] for row in rows})
    number = {name: label for label, name in enumerate(names)}
    entries = []
    for row in rows:
        clip = f"{row['youtube_id']}_{int(float(row['time_start'])):06d}_{int(float(row['time_end'])):06d}"
        folders = [row["label"], row["label"].replace(" ", "_"), ""]
        stems = [clip, row["youtube_id"]]
        candidates = [videos / folder / f"{stem}.mp4" for stem in stems for folder in folders]
        path = next((path for path in candidates if path.is_file()), candidates[0])
        entries.append(Entry(path, _label(number, row["label"], annotation), clip))
    return Listing(entries, names)


def something_v2(annotation: Path, labels: Path, videos: Path) -> Listing:
    """Something-Something v2: ``something-something-v2-train.json`` or ``-validation.json``, and ``-labels.json``;
    videos ``<id>.webm``."""
    number = {name: int(label) for name, label in json.loads(labels.read_text()).items()}
    rows = json.loads(annotation.read_text())
    if rows and "template" not in rows[0]:
        raise ValueError(f"{annotation}: no templates, so no labels; the test split is published without")
    entries = [
        Entry(
            videos / f"{row['id']}.webm",
            _label(number, re.sub(r"[\[\]]", "", row["template"]), annotation),
            str(row["id"]),
        )
        for row in rows
    ]
    return Listing(entries, sorted(number, key=number.__getitem__))


def something_v1(annotation: Path, labels: Path, videos: Path) -> Listing:
    """Something-Something v1: ``id;template`` lines, the labels one a line, and folders of frames ``<id>/``."""
    names = [line.strip() for line in labels.read_text().splitlines() if line.strip()]
    number = {name: label for label, name in enumerate(names)}
    rows = [line.split(";", maxsplit=1) for line in annotation.read_text().splitlines() if line.strip()]
    if any(len(row) < 2 for row in rows):
        raise ValueError(f"{annotation}: a line without a template, so no label; the test split is published without")
    entries = [Entry(videos / name, _label(number, template.strip(), annotation), name) for name, template in rows]
    return Listing(entries, names)


def ucf101(annotation: Path, labels: Path, videos: Path) -> Listing:
    """UCF101: ``trainlist01.txt`` (``Class/v.avi 1``) or ``testlist01.txt`` (``Class/v.avi``), and ``classInd.txt``
    (``1 Class``); videos ``Class/v.avi`` or ``v.avi``."""
    rows = (line.split() for line in labels.read_text().splitlines() if line.strip())
    number = {name: int(label) - 1 for label, name in rows}
    entries = []
    for line in annotation.read_text().splitlines():
        if not line.strip():
            continue
        name = line.split()[0]
        path = videos / name if (videos / name).is_file() else videos / Path(name).name
        entries.append(Entry(path, _label(number, name.split("/")[0], annotation), Path(name).stem))
    return Listing(entries, sorted(number, key=number.__getitem__))


def hmdb51(annotation: Path, videos: Path, split: int, part: str) -> Listing:
    """HMDB51: the folder of ``<class>_test_split<1..3>.txt`` (``v.avi`` and 1 for train, 2 for test); videos
    ``<class>/v.avi``."""
    files = sorted(annotation.glob(f"*_test_split{split}.txt"))
    if not files:
        raise ValueError(f"{annotation}: no file *_test_split{split}.txt in this folder")
    names = [file.name.removesuffix(f"_test_split{split}.txt") for file in files]
    wanted = {"train": "1", "test": "2"}[part]
    entries = []
    for label, (name, file) in enumerate(zip(names, files, strict=True)):
        for line in file.read_text().splitlines():
            video, _, use = line.strip().rpartition(" ")
            if use == wanted:
                entries.append(Entry(videos / name / video.strip(), label, Path(video.strip()).stem))
    return Listing(entries, names)


def folders(videos: Path) -> Listing:
    """A folder for each class, in it the videos, or folders of images; numbered in alphabetical order."""
    names = sorted(folder.name for folder in videos.iterdir() if folder.is_dir())
    entries = [
        Entry(path, label, path.stem)
        for label, name in enumerate(names)
        for path in sorted((videos / name).iterdir())
        if path.suffix.lower() in SUFFIXES or path.is_dir()
    ]
    return Listing(entries, names)


def path_list(annotation: Path, videos: Path, classes: list[str] | None = None) -> Listing:
    """``path label`` lines of SlowFast, pytorchvideo and mmaction2, or ``folder frames label`` of mmaction2."""
    samples = read_manifest(annotation, len(classes) if classes else 1_000_000, videos)
    return Listing([Entry(path, label, path.stem) for path, label, _ in samples], classes)


def _label(number: dict[str, int], name: str, annotation: Path) -> int:
    if name not in number:
        raise ValueError(
            f"{annotation}: class {name!r} is not among the {len(number)} classes, such as {next(iter(number))!r}"
        )
    return number[name]


def _need_columns(annotation: Path, rows: list[dict], columns: tuple[str, ...]) -> None:
    missing = [column for column in columns if not rows or column not in rows[0]]
    if missing:
        raise ValueError(
            f"{annotation}: no rows with a column {' or '.join(missing)}; expected the header {','.join(columns)}"
        )
