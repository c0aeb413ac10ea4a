"""Decode every video of a data set, in processes of their own; write a manifest of the good ones and a report.

A crash or a hang of a decoder costs one video. Run it again and it goes on where it stopped; files that have changed
since are checked again.

examples:
  python tools/check_videos.py data/k400/val.csv --num-classes 400 --known k400_val
  -> data/k400/val.clean.csv, with true frame counts; data/k400/val.report.csv, a line for each video
  python tools/check_videos.py videos/train
  -> of a folder for each class: videos/train.clean.csv, videos/train.report.csv and videos/classes.txt
  python tools/check_videos.py data/k400/val.csv --compare-decoders
  -> also prints the videos of which a decoder gives other frames than FFmpeg does from the beginning
"""

import argparse
import csv
import os
import sys
from collections import Counter
from functools import partial
from pathlib import Path

from nlvideo.console import track
from nlvideo.data.manifest import Sample, read_manifest, relative_to, write_manifest
from nlvideo.data.prepare.check import CLEAN, PROBLEMS, Check, check_video, compare_decoders
from nlvideo.data.prepare.worker_pool import WorkerFailure, run_each
from nlvideo.data.splits import read_folder
from nlvideo.exit_codes import script

# Videos in the copies and splits that published numbers were measured on.
KNOWN = {
    "k400_val": {19761: "the copy of the non-local paper and of SlowFast", 19796: "mmaction2's copy"},
    "k400_train": {240436: "mmaction2's copy"},
    "ssv2_train": {168913: "all"},
    "ssv2_val": {24777: "all"},
    "ssv1_train": {86017: "all"},
    "ssv1_val": {11522: "all"},
    "ucf101_train": {9537: "all of split 1"},
    "ucf101_test": {3783: "all of split 1"},
    "hmdb51_train": {3570: "all of a split"},
    "hmdb51_test": {1530: "all of a split"},
}
REPORT = ("path", "size", "modified", "status", "num_frames", "promised", "fps", "width", "height", "codec", "message")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("source", type=Path, help="a manifest, or a folder that has a folder for each class")
    parser.add_argument("--num-classes", type=int, help="as many labels, from 0 (default: any)")
    parser.add_argument("--root", type=Path, help="where relative paths start (default: the manifest's folder)")
    parser.add_argument("--min-frames", type=int, default=8, help="fewer is too short (default: %(default)s)")
    parser.add_argument("--keep", choices=[*PROBLEMS], action="append", default=[], help="also in the clean manifest")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one video (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    parser.add_argument("--compare-decoders", action="store_true", help="find files whose frames differ by decoder")
    parser.add_argument("--known", choices=[*KNOWN], help="compare with the known numbers of videos of this split")
    return parser


def stamp(path: Path) -> tuple[str, str]:
    """Return size and time of change as the report writes them, empty if the file cannot be found."""
    try:
        status = path.stat()
    except OSError:
        return "", ""
    return str(status.st_size), str(status.st_mtime_ns)


def read_report(path: Path) -> dict[str, dict]:
    """Return the rows of earlier runs by path, without a half-written last line."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file) if row["message"] is not None}


def same_limit(row: dict, min_frames: int) -> bool:
    """Return whether a check with this limit would have the same outcome."""
    return row["status"] not in ("ok", "too short") or (int(row["num_frames"]) < min_frames) == (row["status"] != "ok")


def check_all(samples: list[Sample], report: Path, options: argparse.Namespace) -> dict[str, dict]:
    rows = read_report(report)
    known = {path: (row["size"], row["modified"]) for path, row in rows.items() if same_limit(row, options.min_frames)}
    paths = list(dict.fromkeys(sample.path for sample in samples))
    todo = [path for path in paths if known.get(str(path)) != stamp(path)]
    if len(todo) < len(paths):
        print(f"{len(paths) - len(todo)} of {len(paths)} videos were checked before")
    call = partial(check_video, min_frames=options.min_frames)
    with report.open("w", newline="") as file:
        writer = csv.DictWriter(file, REPORT, lineterminator="\n")
        writer.writeheader()
        current = {str(path) for path in paths} - {str(path) for path in todo}
        writer.writerows(row for path, row in rows.items() if path in current)
        results = run_each(call, todo, workers=options.workers, timeout=options.timeout)
        for path, result in track(results, "decoding", total=len(todo)):
            check = Check("corrupt", message=result.message) if isinstance(result, WorkerFailure) else result
            size, modified = stamp(path)
            rows[str(path)] = {"path": str(path), "size": size, "modified": modified, **vars(check)}
            writer.writerow(rows[str(path)])
            file.flush()
    return rows


def compare_all(paths: list[Path], options: argparse.Namespace) -> None:
    differing = 0
    results = run_each(compare_decoders, paths, workers=options.workers, timeout=options.timeout)
    for path, result in track(results, "comparing", total=len(paths)):
        lines = [result.message] if isinstance(result, WorkerFailure) else result
        differing += bool(lines)
        for line in lines:
            print(f"    {path}: {line}")
    print(f"{differing} of {len(paths)} videos have frames that differ by decoder")


def summarize(samples: list[Sample], rows: dict[str, dict], known: str | None) -> None:
    found = [rows[str(sample.path)] for sample in samples]
    statuses = Counter(row["status"] for row in found)
    print(f"{statuses['ok']} of {len(found)} videos are ok")
    for status in [status for status in PROBLEMS if statuses[status]]:
        print(f"{statuses[status]} {status} ({PROBLEMS[status]}), such as:")
        for row in [row for row in found if row["status"] == status][:5]:
            print(f"    {row['path']}: {row['message']}")
    codecs = Counter(row["codec"] or "none" for row in found)
    print("codecs: " + ", ".join(f"{codec} {count}" for codec, count in codecs.most_common()))
    for count, whose in KNOWN.get(known, {}).items():
        print(f"{known}: {count} videos are {whose}; this has {sum(statuses[each] for each in CLEAN)} good ones")


@script
def main() -> None:
    options = build_parser().parse_args()
    if options.source.is_dir():
        (samples, classes), name = read_folder(options.source), options.source.absolute().name
    else:
        samples = read_manifest(options.source, options.num_classes, options.root)
        classes, name = None, options.source.stem
    clean, report = [options.source.absolute().parent / f"{name}.{kind}.csv" for kind in ("clean", "report")]
    rows = check_all(samples, report, options)
    kept = []
    for path, label, _ in samples:
        row = rows[str(path)]
        if row["status"] not in {*CLEAN, *options.keep}:
            continue
        fps = float(row["fps"])
        duration = round(int(row["num_frames"]) / fps, 3) if fps else ""
        place = relative_to(path, clean.parent)
        kept.append({**row, "path": place, "label": label, "id": path.stem, "duration": duration})
    write_manifest(clean, kept, classes)
    if options.compare_decoders:
        compare_all([Path(path) for path, row in rows.items() if row["status"] in CLEAN], options)
    summarize(samples, rows, options.known)
    print(f"{clean}: {len(kept)} videos; {report}: what was found")


if __name__ == "__main__":
    sys.exit(main())
