"""The videos of the training, validation and test splits: from a manifest, from a folder for each class, or held out
from the training videos.

    data.train: videos/train     videos/train/abseiling/0wR5jVB-WPk.mp4     training
    data.val: 0.2                videos/train/abseiling/3caPS4FHFF8.mp4     validation
                                 videos/train/writing/a1B2c3D4e5F.mp4       training

A video is held out if a hash of its name, which is its path below the folder or as the manifest writes it, is low. So
it stays in its split when other videos are added, and whatever the seed.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from nlvideo.data.formats import folders
from nlvideo.data.manifest import Sample, fingerprint, read_class_names, read_manifest


class Splits:
    """Where the videos of each split come from.

    Args:
        train, test: a manifest, or a folder that has a folder for each class; None if there are none. `test` is `val`
            by default.
        val: the same, or the part of the training videos that is held out.
        root: the folder that a manifest's relative paths start from; None is the manifest's own.

    Raises:
        ValueError: if `val` is a number that is no part of the training videos.
    """

    def __init__(
        self, num_classes: int, train: str | None, val: float | str | None, test: str | None, root: str | None = None
    ):
        self.num_classes = num_classes
        self.sources = {"train": train, "val": val, "test": test or val}
        self.root = root
        self.part = None if val is None or isinstance(val, str) else val
        if self.part is not None and not (train and 0 < self.part < 1):
            raise ValueError(
                f"data.val: expected a manifest, a folder of classes, or a part of data.train between 0 and 1, got "
                f"{self.part:g} of data.train {train}"
            )

    @cached_property
    def class_names(self) -> list[str]:
        """Names of the class folders, or of ``classes.txt`` beside the manifest, of the first split that is given.

        Raises:
            ValueError: if there are not `num_classes`.
        """
        source = next((Path(source) for source in self.sources.values() if source and isinstance(source, str)), None)
        if source is None:
            return [f"class {label}" for label in range(self.num_classes)]
        if not source.is_dir():
            return read_class_names(source, self.num_classes)
        names = folders(source).classes
        if len(names) != self.num_classes:
            raise ValueError(
                f"{source}: {len(names)} folders, one for each class, but data.num_classes is {self.num_classes}; make "
                "them agree"
            )
        return names

    def recorded(self, split: str, samples: Sequence[Sample]) -> dict[str, Any]:
        """Return what the results of a run say of its videos: where they come from, their number, and the SHA-256 of
        `fingerprint`."""
        source = str(self.sources["train"] if isinstance(self.sources[split], float) else self.sources[split])
        folder = Path(source) if Path(source).is_dir() else Path(self.root or Path(source).parent)
        return {"source": source, "folder": str(folder.absolute()), **fingerprint(samples)}

    def read(self, split: str) -> list[Sample]:
        """Return the videos of train, val or test. Raise ValueError if the split is not given, has no videos, or has
        other classes than `class_names`."""
        source = self.sources[split]
        if not source:
            raise ValueError(f"data.{split}: not given; set it to a manifest (a CSV path,label) or a folder of classes")
        if self.part is None or (split == "test" and isinstance(source, str)):
            return self._read(source)
        videos = [video for video in self._training if is_held_out(video, self.part) == (split != "train")]
        classes_left = {video.label for video in videos}
        if not videos or (split == "train" and classes_left < {video.label for video in self._training}):
            what = "all videos of a class" if split == "train" else f"none of the {len(self._training)} videos"
            raise ValueError(
                f"data.val: {self.part:g} of {self.sources['train']} holds out {what}; choose another part"
            )
        return videos

    @cached_property
    def _training(self) -> list[Sample]:
        return self._read(self.sources["train"])

    def _read(self, source: str) -> list[Sample]:
        if not Path(source).is_dir():
            videos = read_manifest(source, self.num_classes, self.root)
            read_class_names(source, self.num_classes)  # raises if they disagree
            return videos
        videos, names = read_folder(Path(source))
        label_of = {name: label for label, name in enumerate(self.class_names)}
        if foreign := [name for name in names if name not in label_of]:
            raise ValueError(
                f"{source}: the folder {foreign[0]!r} is none of the {self.num_classes} classes, such as "
                f"{self.class_names[0]!r}"
            )
        return [video._replace(label=label_of[names[video.label]]) for video in videos]


def read_folder(folder: Path) -> tuple[list[Sample], list[str]]:
    """Return the videos of a folder that has a folder for each class, and the names of the classes.

    Raises:
        ValueError: there are no videos in it.
    """
    listing = folders(folder)
    if not listing.entries:
        raise ValueError(f"{folder}: no videos in its folders; expected a folder for each class, with videos in it")
    videos = [Sample(path, label, path.relative_to(folder).as_posix()) for path, label, _ in listing.entries]
    return videos, listing.classes


def is_held_out(video: Sample, part: float) -> bool:
    """Return whether a video is among the part of the training videos that validation takes."""
    return int.from_bytes(hashlib.sha256(video.id.encode()).digest()[:8], "big") < part * 2**64
