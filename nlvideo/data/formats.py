"""Annotation files as the data sets publish them, read into entries of our manifest.

Each function takes the published file(s) and the folder of the videos. Only kinetics, ucf101 and folders look at the
videos themselves: their file names follow no single rule.
"""

import csv
import json
import re
from pathlib import Path
from typing import NamedTuple

from nlvideo.data.manifest import read_manifest

SUFFIXES = {".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg"}


class Entry(NamedTuple):
    path: Path
    label: int
    id: str  # as published


class Listing(NamedTuple):
    entries: list[Entry]
    classes: list[str] | None  # in the order of the labels; None if the files name none


def kinetics(annotation: Path, videos: Path, classes: list[str] | None = None) -> Listing:
    """Kinetics-400, 600, 700: the official csv with the header ``label,youtube_id,time_start,time_end,split``. Labels
    are numbered in alphabetical order, or as in `classes` for a split that does not name them all.

    A video is looked for as ``<label>/<id>_<start>_<end>.mp4`` and ``<label>/<id>.mp4``, with spaces or underscores in
    the label, and in `videos` itself.
    """
    with annotation.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ("label", "youtube_id", "time_start", "time_end")
    if not rows or not rows[0].keys() >= {*columns}:
        raise ValueError(f"{annotation}: no rows under a header with the columns {','.join(columns)}")
    names = classes or sorted({row["label"] for row in rows})
    number = _numbered(names)
    entries = []
    for row in rows:
        clip = f"{row['youtube_id']}_{int(float(row['time_start'])):06d}_{int(float(row['time_end'])):06d}"
        folders = [row["label"], row["label"].replace(" ", "_"), ""]
        candidates = [videos / folder / f"{stem}.mp4" for stem in (clip, row["youtube_id"]) for folder in folders]
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
    return Listing(
        [
            Entry(
                videos / f"{row['id']}.webm",
                _label(number, re.sub(r"[\[\]]", "", row["template"]), annotation),
                str(row["id"]),
            )
            for row in rows
        ],
        sorted(number, key=number.__getitem__),
    )


def something_v1(annotation: Path, labels: Path, videos: Path) -> Listing:
    """Something-Something v1: ``id;template`` lines, the labels one a line, and folders of frames ``<id>/``."""
    names = _lines(labels)
    number = _numbered(names)
    rows = [line.split(";", maxsplit=1) for line in _lines(annotation)]
    if any(len(row) < 2 for row in rows):
        raise ValueError(f"{annotation}: a line without a template, so no label; the test split is published without")
    return Listing([Entry(videos / id, _label(number, name.strip(), annotation), id) for id, name in rows], names)


def ucf101(annotation: Path, labels: Path, videos: Path) -> Listing:
    """UCF101: ``trainlist01.txt`` (``Class/v.avi 1``) or ``testlist01.txt`` (``Class/v.avi``), and ``classInd.txt``
    (``1 Class``); videos ``Class/v.avi`` or ``v.avi``."""
    names = [name for _, name in sorted((int(number), name) for number, name in map(str.split, _lines(labels)))]
    number = _numbered(names)
    entries = []
    for video in (line.split()[0] for line in _lines(annotation)):
        path = videos / video if (videos / video).is_file() else videos / Path(video).name
        entries.append(Entry(path, _label(number, video.split("/")[0], annotation), Path(video).stem))
    return Listing(entries, names)


def hmdb51(annotation: Path, videos: Path, split: int, part: str) -> Listing:
    """HMDB51: the folder of ``<class>_test_split<1..3>.txt`` (``v.avi`` and 1 for train, 2 for test); videos
    ``<class>/v.avi``."""
    ending = f"_test_split{split}.txt"
    files = sorted(annotation.glob(f"*{ending}"))
    if not files:
        raise ValueError(f"{annotation}: no file *{ending} in this folder")
    names = [file.name.removesuffix(ending) for file in files]
    entries = []
    for label, file in enumerate(files):
        for video, _, use in (line.rpartition(" ") for line in _lines(file)):
            if use == {"train": "1", "test": "2"}[part]:
                entries.append(Entry(videos / names[label] / video.strip(), label, Path(video.strip()).stem))
    return Listing(entries, names)


def folders(videos: Path) -> Listing:
    """A folder for each class, in alphabetical order, with videos or folders of images in it."""
    names = sorted(folder.name for folder in videos.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    entries = [
        Entry(path, label, path.stem)
        for label, name in enumerate(names)
        for path in sorted((videos / name).iterdir())
        if not path.name.startswith(".") and (path.suffix.lower() in SUFFIXES or path.is_dir())
    ]
    return Listing(entries, names)


def path_list(annotation: Path, videos: Path, classes: list[str] | None = None) -> Listing:
    """``path label`` lines of SlowFast, pytorchvideo and mmaction2, or ``folder frames label`` of mmaction2."""
    samples = read_manifest(annotation, len(classes) if classes else None, videos)
    return Listing([Entry(path, label, path.stem) for path, label, _ in samples], classes)


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in file.read_text().splitlines() if line.strip()]


def _numbered(names: list[str]) -> dict[str, int]:
    return {name: label for label, name in enumerate(names)}


def _label(number: dict[str, int], name: str, annotation: Path) -> int:
    if name not in number:
        raise ValueError(f"{annotation}: class {name!r} is not among the {len(number)}, such as {next(iter(number))!r}")
    return number[name]
