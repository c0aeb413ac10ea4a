"""Tables of a page: cells with the number by which they are sorted."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from nlvideo.ablation import control_tables
from nlvideo.ablation.tables import LATEX, duration
from nlvideo.report.source import Run, Sweep, Variant, flat

NONE = "–"


@dataclass(frozen=True)
class Cell:
    """A text, and the number it is sorted by; without one it is sorted as text."""

    text: str
    number: float | None = None


@dataclass(frozen=True)
class Table:
    """A table that can be sorted by each of its columns.

    Attributes:
        marked: indices of rows that stand out: a baseline.
    """

    title: str
    columns: list[str]
    rows: list[list[Cell]]
    notes: list[str] = field(default_factory=list)
    marked: tuple[int, ...] = ()


def number(value: Any) -> float | None:
    """Return a finite number, or None for anything else, such as an empty cell."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def shown(value: Any, form: str, scale: float = 1.0) -> Cell:
    """Return a number as text, a dash if there is none."""
    found = number(value)
    return Cell(NONE) if found is None else Cell(signed(format(found * scale, form)), found)


def signed(text: str) -> str:
    return text.replace("-", "−") if text.startswith("-") else text


def percent(value: Any, low: Any = None, high: Any = None, form: str = ".1f") -> Cell:
    """Return shares from 0 to 1 as percent, with the interval if there is one."""
    cell = shown(value, form, 100)
    ends = [shown(end, form, 100).text for end in (low, high) if number(end) is not None]
    return Cell(f"{cell.text} [{', '.join(ends)}]", cell.number) if len(ends) == 2 else cell


def sweep_table(sweep: Sweep) -> Table:
    """Return the table of a sweep. Columns of which nothing is known are left out."""
    rows = [_sweep_cells(variant) for variant in sweep.variants]
    columns = [name for name in rows[0] if any(row[name].text not in (NONE, "") for row in rows)]
    marked = tuple(i for i, variant in enumerate(sweep.variants) if variant.name == sweep.baseline)
    cells = [[row[name] for name in columns] for row in rows]
    return Table(sweep.name, columns, cells, sweep.notes, marked)


def controls_table(sweep: Sweep) -> Table:
    """Return the differences of a sweep's variants to their compute-matched controls."""
    columns = ["variant", "alike in", "control", "off by %", "Δ to it [95 %]", "p (Holm)", "P(better) %"]
    rows = [
        [
            Cell(str(row["variant"])),
            Cell(control_tables.ALIKE.get(row["measure"], str(row["measure"]))),
            Cell(str(row["control"])),
            shown(row["off"], "+.1f", 100),
            *_difference(row).values(),
        ]
        for row in sweep.controls
    ]
    return Table(f"{sweep.name}: controls", columns, rows, [control_tables.ABOUT])


def _difference(row: dict[str, Any]) -> dict[str, Cell]:
    return {
        "Δ [95 %]": percent(*(row.get(f"difference_{name}") for name in ("mean", "low", "high")), form="+.1f"),
        "p (Holm)": shown(row.get("difference_p_holm"), ".2g"),
        "P(better) %": percent(row.get("difference_better"), form=".0f"),
    }


def _sweep_cells(variant: Variant) -> dict[str, Cell]:
    row = variant.row
    get = row.get
    finished, asked = number(get("finished")), number(get("num_runs"))
    words = "; ".join(text for text in _notes(row) if text)
    seconds = number(get("seconds"))
    return {
        "variant": Cell(variant.name),
        "top-1 % [95 %]": percent(*(get(f"video_top1_{name}") for name in ("mean", "low", "high"))),
        "± of seeds": shown(get("video_top1_std"), ".1f", 100),
        "clip top-1 %": percent(get("clip_top1_mean")),
        **_difference(row),
        "seeds for 1 %": shown(get("difference_seeds_needed"), ".0f"),
        "params M": shown(get("params"), ".3f", 1e-6),
        "GMACs": shown(get("gmacs"), ".4g"),
        "× GMACs": shown(get("gmacs_ratio"), ".2f"),
        "time of a run": Cell(NONE) if seconds is None else Cell(duration(seconds), seconds),
        "seeds": Cell(NONE) if finished is None or asked is None else Cell(f"{finished:.0f} of {asked:.0f}", finished),
        "state": Cell(words),
    }


def _notes(row: dict[str, Any]) -> Iterator[str]:
    """Yield what has to be known of a row of results.csv."""
    for name, before in (("unfinished", ""), ("ended_early", "ended early: "), ("trained_in", "trained in ")):
        if isinstance(value := row.get(name), str):
            yield f"{before}{value}"
    if isinstance(control := row.get("control_of"), str):
        yield f"control of {control}, equal in {row.get('control_measure')}"
    if isinstance(note := row.get("difference_note"), str):
        yield note


def levels_table(entries: Sequence[tuple[str, Sequence[Run]]]) -> Table:
    """Return clip level, clip-averaged and video level of each run."""
    names = {"video": "video level", "clip_averaged": "clip-averaged", "clip": "clip level"}
    columns = ["run", "level", "top-1 %", "top-5 %", "mean class %", "loss", "videos"]
    rows = []
    for name_of_run, run in ((name, run) for name, runs in entries for run in runs):
        test = run.test or {}
        for level, name in names.items():
            its = test.get(level)
            if not isinstance(its, dict):
                continue
            values = [shown(its.get(metric), ".2f", 100) for metric in ("top1", "top5", "mean_class")]
            counted = f"{test.get('num_scored')} of {test.get('num_videos')}"
            rows.append([Cell(name_of_run), Cell(name), *values, shown(its.get("loss"), ".4f"), Cell(counted)])
    return Table("Accuracy", columns, rows)


def differences_table(names: Sequence[str], configs: Sequence[dict[str, Any]], keys: Sequence[str]) -> Table:
    """Return a row for each setting in which configurations differ, a column for each."""
    flattened = [flat(config) for config in configs]
    rows = [[Cell(key), *(Cell(config.get(key, NONE)) for config in flattened)] for key in keys]
    return Table("Settings that differ", ["setting", *names], rows)


def latex(table: Table) -> str:
    """Return a tabular with the rules of booktabs."""
    frame = pd.DataFrame([[cell.text for cell in row] for row in table.rows], columns=table.columns)
    return frame.to_latex(index=False, escape=True, column_format="l" + "c" * (len(frame.columns) - 1)).translate(LATEX)
