"""Comparison of variants with the intact network on the same videos: what each costs in top-1, over all and by class.

Shapes: n videos that were scored.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nlvideo.console import console
from nlvideo.evaluation.multi_view import Evaluation
from nlvideo.evaluation.plots import plot_class_costs
from nlvideo.evaluation.statistics import bootstrap_interval, mcnemar
from nlvideo.evaluation.variants import Variant
from nlvideo.files import write_text
from nlvideo.tables import markdown, rich_table

LEVELS = ("clip", "video")


@dataclass(frozen=True)
class Cost:
    """What a variant costs on some videos, each a share from 0 to 1.

    Attributes:
        top1: of the variant.
        cost: top-1 of the intact network less that of the variant.
        low, high: 95 % interval of `cost` over videos, see `bootstrap_interval`.
    """

    top1: float
    cost: float
    low: float
    high: float

    @classmethod
    def of(cls, intact: np.ndarray, changed: np.ndarray) -> "Cost":
        """Compare who has the same videos right, bool [n] each."""
        difference = intact.astype(float) - changed
        return cls(float(changed.mean()), float(difference.mean()), *bootstrap_interval(difference))


@dataclass(frozen=True)
class Comparison:
    """A variant beside the intact network.

    Attributes:
        evaluation: of the variant.
        costs: at clip level and at video level.
        tests: at both levels the videos that only the intact network has right, those that only the variant has, and
            p, see `mcnemar`.
    """

    variant: Variant
    evaluation: Evaluation
    costs: dict[str, Cost]
    tests: dict[str, tuple[int, int, float]]

    def as_dict(self) -> dict[str, Any]:
        """Return what test.json says of the variant: its accuracies at each level, its costs and tests."""
        result: dict[str, Any] = {level: dict(values) for level, values in self.evaluation.levels.items()}
        for level in LEVELS:
            only_intact, only_variant, p = self.tests[level]
            costs = {name: value for name, value in asdict(self.costs[level]).items() if name != "top1"}
            result[level] |= {**costs, "only_intact": only_intact, "only_variant": only_variant, "p": p}
        return result

    def class_costs(self, intact: Evaluation, class_names: Sequence[str]) -> list[dict[str, Any]]:
        """Return a row for each class that has a video: what the variant costs there, at video level."""
        rows = []
        for label in np.unique(intact.labels):
            of_class = intact.labels == label
            right = intact.right["video"][of_class]
            cost = Cost.of(right, self.evaluation.right["video"][of_class])
            of_intact = {"class": class_names[label], "videos": len(right), "intact_top1": float(right.mean())}
            rows.append({"variant": self.variant.name, **of_intact, **asdict(cost)})
        return rows


def compare(variant: Variant, intact: Evaluation, changed: Evaluation) -> Comparison:
    """Return the comparison of a test's variant with its intact network. Both have scored the same videos."""
    assert (intact.indices == changed.indices).all()
    pairs = {level: (intact.right[level], changed.right[level]) for level in LEVELS}
    costs = {level: Cost.of(*pair) for level, pair in pairs.items()}
    return Comparison(variant, changed, costs, {level: mcnemar(*pair) for level, pair in pairs.items()})


def report_comparison(
    folder: Path, comparisons: Sequence[Comparison], intact: Evaluation, class_names: Sequence[str]
) -> None:
    """Print the table of variants; write variants.csv and .md, variants_per_class.csv and, for probes, time.png."""
    rows = [_row("intact", intact), *(_row(each.variant.name, each.evaluation, each) for each in comparisons)]
    cells = pd.DataFrame([_cells(row) for row in rows])
    note = (
        f"On {len(intact.labels)} of {intact.num_videos} videos. costs: top-1 of the intact network less that of the "
        "row, in points, with its 95 % interval over videos (paired bootstrap). alone right: videos that only the "
        "intact network / only the row has right at video level; p: McNemar's exact test of them, not corrected for "
        f"the number of rows ({len(comparisons)}). All rows are of one network, trained once: the intervals say "
        "nothing of other seeds."
    )
    console().print(rich_table(cells))
    console().print(note)

    pd.DataFrame(rows, columns=list(rows[-1])).convert_dtypes().to_csv(folder / "variants.csv", index=False)
    write_text(folder / "variants.md", f"{markdown(cells)}\n\n{note}\n")
    by_class = {each.variant: each.class_costs(intact, class_names) for each in comparisons}
    per_class = pd.DataFrame([row for of_variant in by_class.values() for row in of_variant])
    per_class.to_csv(folder / "variants_per_class.csv", index=False)
    probes = {variant.name: of_variant for variant, of_variant in by_class.items() if variant.kind == "probe"}
    if probes:
        plot_class_costs(probes, folder / "time.png")
    picture = ", time.png" if probes else ""
    console().print(f"variants.csv, variants.md, variants_per_class.csv{picture} and predictions of each row: {folder}")


def _row(name: str, evaluation: Evaluation, comparison: Comparison | None = None) -> dict[str, Any]:
    """Return the row of variants.csv: shares from 0 to 1; the intact network has no costs."""
    row: dict[str, Any] = {"variant": name}
    for level in LEVELS:
        row[f"{level}_top1"] = evaluation.levels[level]["top1"]
        if comparison is not None:
            cost, (only_intact, only_variant, p) = comparison.costs[level], comparison.tests[level]
            values = {"cost": cost.cost, "low": cost.low, "high": cost.high}
            values |= {"only_intact": only_intact, "only_variant": only_variant, "p": p}
            row |= {f"{level}_{key}": value for key, value in values.items()}
    return {**row, "num_scored": len(evaluation.labels), "num_videos": evaluation.num_videos}


def _cells(row: dict[str, Any]) -> dict[str, str]:
    """Return a row of variants.csv as the cells of a table, in percent."""
    cells = {"variant": row["variant"]}
    for level in LEVELS:
        cells[f"{level} %"] = f"{100 * row[f'{level}_top1']:.2f}"
        cost, low, high = (100 * row.get(f"{level}_{key}", 0) for key in ("cost", "low", "high"))
        cells[f"{level} costs"] = f"{cost:.1f} [{low:.1f}, {high:.1f}]" if f"{level}_cost" in row else ""
    alone = f"{row['video_only_intact']} / {row['video_only_variant']}" if "video_p" in row else ""
    return {**cells, "alone right": alone, "p": f"{row['video_p']:.2g}" if "video_p" in row else ""}
