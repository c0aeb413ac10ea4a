"""The embedded data set "visitors": four times, somebody looks over a wall. How many different visitors? Or: who came
first?

    folder/  train/00000.mp4 ...  train.csv   path,label; paths relative to the folder
             val/00000.mp4 ...    val.csv
             classes.txt          a name a line, in the order of the labels
             contact_sheet.png    what the classes look like
             visitors.json        the settings; written last, so a folder that has it is complete

Each visit is easy to see, but the answer needs visits far apart in time and space to be compared, or their order.
"""

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from nlvideo.data.prepare.encode import write_video
from nlvideo.data.prepare.worker_pool import WorkerFailure, run_each
from nlvideo.visitors.contact_sheet import save_contact_sheet
from nlvideo.visitors.render import render
from nlvideo.visitors.scene import COLOURS, FPS, NUM_CLASSES, STANDARD, Task, VisitorOptions, nth_scene

VERSION = 1  # raise it when the same settings give other pixels
NUM_TRAIN, NUM_VAL = 1200, 400  # videos
TRAIN_SEED, VAL_SEED = 1, 2
CLASS_NAMES: dict[Task, tuple[str, ...]] = {
    "count": ("1 visitor", *(f"{count} visitors" for count in range(2, NUM_CLASSES + 1))),
    "order": tuple(f"{colour} first" for colour in list(COLOURS)[:NUM_CLASSES]),
}

COMPLETE = "visitors.json"
STARTED = "visitors.json.partial"  # marks the folder as ours from the first moment on
ADVICE = "name another folder, or replace the data set with --overwrite (overwrite=True)"
TIMEOUT = 600  # seconds for one video, on a busy machine


@dataclass(frozen=True)
class DatasetInfo:
    folder: Path
    num_videos: int
    was_there: bool  # complete and with these settings: nothing was written


def make_visitors(
    folder: str | os.PathLike,
    *,
    num_train: int = NUM_TRAIN,
    num_val: int = NUM_VAL,
    train_seed: int = TRAIN_SEED,
    val_seed: int = VAL_SEED,
    options: VisitorOptions = STANDARD,
    workers: int = 1,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] = lambda num_done, num_total: None,
) -> DatasetInfo:
    """Write the data set; do nothing if it is there already.

    Video i depends on its seed, i and the options only. More than one of `workers` are spawned processes, so a script
    that asks for them needs the usual ``if __name__ == "__main__":``.

    Args:
        overwrite: replace a data set with other settings. A folder with anything else in it is never written to.
        on_progress: called with the number of videos written and of all videos.
    """
    folder = Path(folder)
    seeds = {"train": train_seed, "val": val_seed}
    counts = {"train": num_train, "val": num_val}
    _check(num_train=num_train, num_val=num_val, train_seed=train_seed, val_seed=val_seed, workers=workers)
    settings = {"version": VERSION, "num_train": num_train, "num_val": num_val}
    settings |= {"train_seed": train_seed, "val_seed": val_seed, **asdict(options)}

    videos = [
        (folder / split / f"{index:05d}.mp4", seeds[split], index, options)
        for split, count in counts.items()
        for index in range(count)
    ]
    was_there = _is_there(folder, settings, overwrite) and all(path.is_file() for path, *_ in videos)
    if not was_there:
        _start(folder, settings)
        for num_done, _ in enumerate(_write_videos(videos, workers), start=1):
            on_progress(num_done, len(videos))
        for split, count in counts.items():
            with open(folder / f"{split}.csv", "w", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["path", "label"])
                writer.writerows(
                    [f"{split}/{i:05d}.mp4", nth_scene(seeds[split], i, options).label] for i in range(count)
                )
        class_names = CLASS_NAMES[options.task]
        (folder / "classes.txt").write_text("".join(f"{name}\n" for name in class_names))
        save_contact_sheet(folder / "contact_sheet.png", class_names, train_seed, num_train, options)
        os.replace(folder / STARTED, folder / COMPLETE)
    return DatasetInfo(folder, len(videos), was_there)


def _check(**arguments: int) -> None:
    lowest = {"num_train": NUM_CLASSES, "num_val": NUM_CLASSES, "train_seed": 0, "val_seed": 0, "workers": 1}
    for name, value in arguments.items():
        if value < lowest[name]:
            raise ValueError(f"{name} is {value}: expected at least {lowest[name]}")
    if arguments["train_seed"] == arguments["val_seed"]:
        raise ValueError(
            f"train_seed and val_seed are both {arguments['val_seed']}: expected two different seeds, or validation "
            "videos would be training videos"
        )


def _is_there(folder: Path, settings: dict, overwrite: bool) -> bool:
    """Return whether the folder holds this data set. Raise ValueError if it must not be written to."""
    complete = folder / COMPLETE
    if not complete.exists():
        if folder.exists() and not (folder / STARTED).exists() and any(folder.iterdir()):
            raise ValueError(f"{folder} is not empty and holds no data set of this kind: name a new or empty folder")
        return False
    if overwrite:
        return False
    try:
        found = dict(json.loads(complete.read_text()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{complete} cannot be read ({error}): {ADVICE}") from error
    differences = [
        f"{name} is {found.get(name)} there, {settings.get(name)} was asked for"
        for name in sorted(settings.keys() | found.keys())
        if found.get(name) != settings.get(name)
    ]
    if differences:
        raise ValueError(f"{folder} holds videos made with other settings ({'; '.join(differences)}): {ADVICE}")
    return True


def _start(folder: Path, settings: dict) -> None:
    """Empty the data set, marked as not complete before anything of an earlier one is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / COMPLETE).exists():
        os.replace(folder / COMPLETE, folder / STARTED)
    (folder / STARTED).write_text(json.dumps(settings, indent=2) + "\n")
    for split in ("train", "val"):
        shutil.rmtree(folder / split, ignore_errors=True)
        (folder / split).mkdir()


def _write_videos(videos: list[tuple], workers: int) -> Iterator[None]:
    if workers == 1:
        yield from map(_write_one, videos)
        return
    for (path, *_), result in run_each(_write_one, videos, workers=workers, timeout=TIMEOUT):
        if isinstance(result, WorkerFailure):
            raise OSError(f"{path}: the process that wrote it {result.message}")
        yield


def _write_one(video: tuple[Path, int, int, VisitorOptions]) -> None:
    path, seed, index, options = video
    write_video(path, render(nth_scene(seed, index, options)), FPS)
