"""Score predictions files again, without the videos; compare two, and fuse several.

examples:
  python tools/score.py runs/nl/predictions.parquet -o runs/nl/scores
  python tools/score.py runs/nl/predictions.parquet runs/c2d/predictions.parquet              compares the two
  python tools/score.py runs/nl/predictions.parquet runs/c2d/predictions.parquet -o runs/nl_less_c2d   and writes it
  python tools/score.py runs/rgb/predictions.parquet runs/flow/predictions.parquet --weights 1,1.5    fuses them
"""

import argparse
import sys
from pathlib import Path

import pandas as pd
from rich.table import Table

from nlvideo.console import console
from nlvideo.evaluation import statistics
from nlvideo.evaluation.gains_plot import plot_class_gains
from nlvideo.evaluation.pairs import PairComparison, compare_predictions
from nlvideo.evaluation.plots import plot_confusion
from nlvideo.evaluation.predictions import Predictions, read_predictions
from nlvideo.exit_codes import script
from nlvideo.tables import rich_table

SHOWN = 10  # classes, pairs and missing videos


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="PREDICTIONS", help="predictions.parquet of a test")
    parser.add_argument("--weights", help="fuse the files: a weight for each, comma-separated")
    parser.add_argument("-o", "--output", type=Path, help="folder for tables (CSV) and pictures")
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
    """Print all predictions side by side, two beside each other by class and video, and the last in detail."""
    console().print(summary_table(named))
    last_name, last = named[-1]
    for name in last.missing[:SHOWN]:
        console().print(f"missing: {name}")
    if len(last.missing) > SHOWN:
        console().print(f"missing: {len(last.missing) - SHOWN} more")
    pair = compare_predictions(named[0][1], named[1][1]) if len(named) == 2 else None
    if pair:
        print_pair(pair)

    console().rule(last_name)
    console().print(class_table(last), pairs_table(last))
    if output is not None:
        files = write_tables(output, last, pair)
        console().print(f"written to {output}: {', '.join(files)}")


def print_pair(pair: PairComparison) -> None:
    """Print the first file beside the second."""
    its = pair.difference
    console().print(
        f"on the {its.num_videos} videos of both: {pair.only_first} only the first has right, {pair.only_second} only "
        f"the second (McNemar's exact test: p = {its.p:.2g}); top-1 of the first is higher by {100 * its.mean:.2f} "
        f"points (95 % interval {100 * its.low:.2f} to {100 * its.high:.2f}). Of one training each: nothing is said of "
        "other seeds"
    )
    classes = pair.classes
    if len(classes) > SHOWN:
        classes = pd.concat([classes.head(SHOWN // 2), classes.tail(SHOWN // 2)])
    title = f"classes, the first less the second; p: McNemar, Holm over {len(pair.classes)} classes"
    console().print(rich_table(gain_cells(classes), title=title, numbers=True))
    if len(pair.confusions):
        console().print(rich_table(pair.confusions.head(SHOWN).astype(str), title="most changed confusions"))
    if len(pair.flips):
        flips = pair.flips.head(SHOWN).drop(columns="label")
        scores = flips[["first_score", "second_score"]].map("{:.2f}".format)
        title = f"videos that only one has right: {len(flips)} of {len(pair.flips)}"
        console().print(rich_table(flips.assign(**scores).astype(str), title=title))


def gain_cells(classes: pd.DataFrame) -> pd.DataFrame:
    """Return what the terminal shows of `PairComparison.classes`."""
    percent = {name: 100 * classes[name] for name in ("first_top1", "second_top1", "gain", "low", "high")}
    gains = zip(percent["gain"], percent["low"], percent["high"], strict=True)
    return pd.DataFrame(
        {
            "class": classes["class"],
            "videos": classes["videos"].map(str),
            "first %": percent["first_top1"].map("{:.1f}".format),
            "second %": percent["second_top1"].map("{:.1f}".format),
            "gain [95 %]": [f"{gain:+.1f} [{low:+.1f}, {high:+.1f}]" for gain, low, high in gains],
            "p (Holm)": classes["p_holm"].map("{:.2g}".format),
        }
    )


def write_tables(output: Path, last: Predictions, pair: PairComparison | None) -> list[str]:
    """Write the tables and pictures of the last file and of the two; return their names."""
    output.mkdir(parents=True, exist_ok=True)
    confusion = statistics.confusion_matrix(last.scores, last.labels)
    per_class = pd.DataFrame(statistics.per_class(last), columns=["class", "videos", "accuracy"])
    tables = {"confusion.csv": pd.DataFrame(confusion, last.class_names, last.class_names), "per_class.csv": per_class}
    if pair:
        tables |= {"gains.csv": pair.classes, "confusions.csv": pair.confusions, "flips.csv": pair.flips}
        plot_class_gains(pair.classes, output / "gains.png")
    plot_confusion(confusion, last.class_names, output / "confusion.png")
    for name, table in tables.items():
        table.to_csv(output / name, index=name == "confusion.csv")
    return [*tables, "confusion.png", *(["gains.png"] if pair else [])]


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
