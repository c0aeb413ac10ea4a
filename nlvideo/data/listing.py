"""Writing manifests."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from nlvideo.data.video import DecodeError, Video
from nlvideo.files import replacing

COLUMNS = ("path", "label", "id", "num_frames", "fps", "width", "height", "duration")


def probe(path: Path) -> dict:
    """What the manifest says of a video; nothing of one that cannot be read."""
    try:
        video = Video(path)
        height, width = video.frames(0).shape[-2:]
    except DecodeError:
        return {}
    size = {"num_frames": video.num_frames, "width": width, "height": height}
    if not video.fps:
        return size
    return {**size, "fps": round(video.fps, 3), "duration": round(video.num_frames / video.fps, 3)}


def relative_to(path: Path, folder: Path) -> str:
    """As a manifest in `folder` writes it: relative where the video lies below, absolute elsewhere."""
    path, folder = path.absolute(), folder.absolute()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def write_manifest(path: Path, rows: Iterable[dict], classes: Sequence[str] | None) -> None:
    """Rows with the keys of COLUMNS; the class names go to ``classes.txt`` beside.

    Raises:
        ValueError: another classes.txt lies there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if classes is not None:
        sidecar, text = path.parent / "classes.txt", "".join(f"{name}\n" for name in classes)
        if sidecar.is_file() and sidecar.read_text() != text:
            raise ValueError(f"{sidecar}: names other classes; write to another folder, or take it away")
        sidecar.write_text(text)
    with replacing(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
