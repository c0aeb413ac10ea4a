"""Score predictions files again, without the videos; compare two, and fuse several.

examples:
  python tools/score.py runs/nl/predictions.parquet -o runs/nl/scores
  python tools/score.py runs/nl/predictions.parquet runs/c2d/predictions.parquet              compares the two
  python tools/score.py runs/rgb/predictions.parquet runs/flow/predictions.parquet --weights 1,1.5    fuses them
"""

import argparse
import sys
from pathlib import Path

import pandas as pd
from rich.table import Table

from nlvideo.console import console
from nlvideo.evaluation import statistics
from nlvideo.evaluation.plots import plot_confusion
from nlvideo.evaluation.predictions import Predictions, read_predictions
from nlvideo.exit_codes import script

SHOWN = 10  # classes, pairs and missing videos


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="PREDICTIONS", help="predictions.parquet of a test")
    parser.add_argument("--weights", help="fuse the files: a weight for each, comma-separated")
    parser.add_argument("-o", "--output", type=Path, help="folder for confusion.csv, confusion.png and per_class.csv")
    return parser


@script
def main() -> None:
    options = build_parser().parse_args()
    files = [read_predictions(path) for path in options.files]
    named = list(zip(map(str, options.files), files, strict=True))
    if options.weights is not None:
        named.append(("fused", statistics.fuse(files, parse_weights(options.weights))))
    report(named, options.output)


def parse_weights(text: str) -> list[float]:
    """Return "1,1.5" as numbers."""
    try:
        return [float(weight) for weight in text.split(",")]
    except ValueError:
        raise ValueError(f"--weights {text!r}: expected a number for each file, such as 1,1.5") from None


def report(named: list[tuple[str, Predictions]], output: Path | None) -> None:
    """Print all predictions side by side and the last in detail; write the last's tables and picture to `output`."""
    console().print(summary_table(named))
    last_name, last = named[-1]
    for name in last.missing[:SHOWN]:
        console().print(f"missing: {name}")
    if len(last.missing) > SHOWN:
        console().print(f"missing: {len(last.missing) - SHOWN} more")
    if len(named) == 2:
        console().print(comparison(named[0][1], named[1][1]))

    console().rule(last_name)
    console().print(class_table(last), pairs_table(last))
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        confusion = statistics.confusion_matrix(last.scores, last.labels)
        pd.DataFrame(confusion, last.class_names, last.class_names).to_csv(output / "confusion.csv")
        per_class = pd.DataFrame(statistics.per_class(last), columns=["class", "videos", "accuracy"])
        per_class.to_csv(output / "per_class.csv", index=False)
        plot_confusion(confusion, last.class_names, output / "confusion.png")
        console().print(f"written to {output}: confusion.csv, confusion.png, per_class.csv")


def summary_table(named: list[tuple[str, Predictions]]) -> Table:
    """Return a row for each file: accuracies, interval and calibration."""
    table = Table("predictions", "top-1 %", "95 % interval", "top-5 %", "mean class %", "ECE %", "videos")
    for name, predictions in named:
        result = statistics.summarise(predictions)
        low, high = result["top1_interval"]
        table.add_row(
            name,
            f"{100 * result['top1']:.2f}",
            f"{100 * low:.2f} to {100 * high:.2f}",
            f"{100 * result['top5']:.2f}",
            f"{100 * result['mean_class']:.2f}",
            f"{100 * result['ece']:.2f}",
            predictions.counted().removesuffix(" videos"),
        )
    return table


def comparison(one: Predictions, two: Predictions) -> str:
    """Return what a paired test says about two networks on the videos that both have scored."""
    one, two = statistics.align([one, two])
    right_one, right_two = (statistics.top_k(each.scores, each.labels, 1) for each in (one, two))
    only_one, only_two, p = statistics.mcnemar(right_one, right_two)
    low, high = statistics.bootstrap_interval(right_one.astype(float) - right_two)
    return (
        f"on the {len(one.ids)} videos of both: {only_one} only the first has right, {only_two} only the second "
        f"(McNemar's exact test: p = {p:.2g}); top-1 of the first is higher by "
        f"{100 * (right_one.mean() - right_two.mean()):.2f} points (95 % interval {100 * low:.2f} to {100 * high:.2f})"
    )


def class_table(predictions: Predictions) -> Table:
    """Return the classes with the best and the worst accuracy."""
    rows = statistics.per_class(predictions)
    table = Table("class", "videos", "accuracy %", title="classes, the best and the worst")
    half = SHOWN // 2
    shown = rows if len(rows) <= SHOWN else [*rows[:half], *rows[-half:]]
    for i, (name, videos, accuracy) in enumerate(shown):
        if i == half and len(rows) > SHOWN:
            table.add_section()
        table.add_row(name, str(videos), f"{100 * accuracy:.1f}")
    return table


def pairs_table(predictions: Predictions) -> Table:
    """Return the classes that are most often confused."""
    table = Table("label", "taken for", "videos", title="most confused")
    confusion = statistics.confusion_matrix(predictions.scores, predictions.labels)
    for label, guess, videos in statistics.confused_pairs(confusion, SHOWN):
        table.add_row(predictions.class_names[label], predictions.class_names[guess], str(videos))
    return table


if __name__ == "__main__":
    sys.exit(main())
