"""What a page is about: which networks it compares, which of them it looks at closely, and its main tables."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from nlvideo.report import tables
from nlvideo.report.evidence import Network
from nlvideo.report.source import Run, Sweep, Variant, check_folder, is_run, read_run, read_sweeps
from nlvideo.report.tables import Table, number


@dataclass(frozen=True)
class Subject:
    """The networks of a page.

    Attributes:
        entries: name and runs of each, with a run at least; a network of several tables is there once.
        focus: the run whose protocol and configuration are shown.
        network: the one that is looked at; None if nothing was tested.
        reference: the one that it is compared with, if there is one.
        latex: of the tables, if a sweep has written it.
        costs: by name of an entry: GMACs of a view and seconds of a run, as far as they are known.
    """

    title: str
    entries: list[tuple[str, list[Run]]]
    focus: Run
    network: Network | None
    reference: Network | None
    tables: list[Table]
    latex: str
    costs: dict[str, tuple[float | None, float | None]]

    def points(self) -> pd.DataFrame:
        """Return name, gmacs, seconds, and value, low, high: top-1 and its 95 % interval, of each tested entry."""
        rows = []
        for name, runs in self.entries:
            if any(run.predictions is not None for run in runs):
                rows.append((name, *self.costs.get(name, (None, None)), *Network.of(name, runs).top1()))
        columns = ["name", "gmacs", "seconds", "value", "low", "high"]
        return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[1:], float))


def read_subject(folders: Sequence[Path], variant: str | None) -> Subject:
    """Return what the page of these folders is about.

    Args:
        folders: of a run or a sweep, or of two runs, the reference first.
        variant: of a sweep, which is looked at; None for the one with the best top-1.

    Raises:
        ValueError: see `read_run` and `read_sweeps`; or there is no such variant.
    """
    for folder in folders:
        check_folder(folder)
    if len(folders) == 1 and not is_run(folders[0]):
        return _of_sweeps(folders[0], read_sweeps(folders[0]), variant)
    if variant is not None:
        raise ValueError(f"--variant {variant}: of a sweep; these are runs")
    if sweeps := [folder for folder in folders if not is_run(folder)]:
        raise ValueError(f"{sweeps[0]}: a sweep; two folders are two runs, such as those within it")
    return _of_runs([read_run(folder) for folder in folders])


def _of_runs(runs: list[Run]) -> Subject:
    names = [run.name for run in runs]
    if len(set(names)) < len(names):  # of two folders of runs
        names = [str(run.folder) for run in runs]
    entries = [(name, [run]) for name, run in zip(names, runs, strict=True)]
    networks = [Network.of(name, its) if its[0].predictions is not None else None for name, its in entries]
    network, reference = networks[-1], networks[0] if len(runs) > 1 else None
    if network is None:
        network, reference = reference, None
    costs = {name: (_gmacs(its[0]), _seconds(its[0])) for name, its in entries}
    title = names[0] if len(names) == 1 else f"{names[1]} beside {names[0]}"
    return Subject(title, entries, runs[-1], network, reference, [tables.levels_table(entries)], "", costs)


def _gmacs(run: Run) -> float | None:
    """Return the multiply-adds of a view, as the test counted them."""
    test = run.test or {}
    total, views = number(test.get("gmacs_per_video")), str(test.get("views")).split(" x ")
    if total is None or not all(part.isdecimal() and int(part) for part in views):
        return None
    return total / math.prod(int(part) for part in views)


def _seconds(run: Run) -> float | None:
    times = [number((its or {}).get("seconds")) for its in (run.fit, run.test)]
    return None if None in times else sum(times)


def _of_sweeps(folder: Path, sweeps: list[Sweep], variant: str | None) -> Subject:
    entries: dict[tuple[Path, ...], tuple[str, list[Run]]] = {}
    costs: dict[str, tuple[float | None, float | None]] = {}
    for sweep in sweeps:
        for its in sweep.variants:
            key = tuple(run.folder for run in its.runs)
            if not its.runs or key in entries:
                continue
            taken = {name for name, _ in entries.values()}
            name = its.name if its.name not in taken else f"{sweep.name}: {its.name}"
            entries[key] = (name, its.runs)
            costs[name] = (number(its.row.get("gmacs")), number(its.row.get("seconds")))
    if not entries:
        raise ValueError(f"{folder}: none of the runs of its runs.csv is there")
    sweep, chosen = _chosen(sweeps, variant)
    baseline = next(its for its in sweep.variants if its.name == sweep.baseline)
    network, reference = (Network.of(its.name, its.runs) if its.tested else None for its in (chosen, baseline))
    if chosen is baseline:
        reference = None
    elif network is None:
        network, reference = reference, None
    focus = next(
        (run for its in (chosen, baseline) for run in (its.tested or its.runs)), next(iter(entries.values()))[1][0]
    )
    title = f"Sweep {folder.resolve().name}"
    own_tables = [
        table for its in sweeps for table in (tables.sweep_table(its), tables.controls_table(its)) if table.rows
    ]
    return Subject(title, list(entries.values()), focus, network, reference, own_tables, sweeps[0].latex, costs)


def _chosen(sweeps: Sequence[Sweep], variant: str | None) -> tuple[Sweep, Variant]:
    """Return the variant that is looked at, and its table."""
    pairs = [(sweep, its) for sweep in sweeps for its in sweep.variants]
    if variant is not None:
        for sweep, its in pairs:
            if its.name == variant:
                return sweep, its
        names = dict.fromkeys(its.name for _, its in pairs)
        raise ValueError(f"--variant {variant}: no such variant; expected one of {', '.join(names)}")
    others = [pair for pair in pairs if pair[1].name != pair[0].baseline and pair[1].tested]
    return max(others or pairs, key=lambda pair: number(pair[1].row.get("video_top1_mean")) or 0.0)
