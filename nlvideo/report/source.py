"""What a page is made of: the files of a run, of two runs or of a sweep. They are data: nothing in them is executed.

Whatever a run has not written yet is None, and the page says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from nlvideo.evaluation.predictions import Predictions, read_predictions
from nlvideo.report.reading import read_config, read_csv, read_json, read_text


@dataclass(frozen=True)
class Run:
    """What is in the folder of a run.

    Attributes:
        name: for people: of the folder, or variant and seed.
        config: content of config.yaml.
        fit, test: content of fit.json and test.json.
        metrics: content of metrics.csv.
        predictions: of the test, at video level.
        state: "finished", or what an unfinished run lacks.
        weights: file of the network's weights, which may be missing.
    """

    folder: Path
    name: str
    config: dict[str, Any]
    fit: dict[str, Any] | None
    test: dict[str, Any] | None
    metrics: pd.DataFrame | None
    predictions: Predictions | None
    state: str
    weights: Path


@dataclass(frozen=True)
class Variant:
    """A row of a sweep's table.

    Attributes:
        row: of results.csv.
        runs: one for each seed whose folder is there.
    """

    name: str
    row: dict[str, Any]
    runs: list[Run]

    @property
    def tested(self) -> list[Run]:
        return [run for run in self.runs if run.predictions is not None]


@dataclass(frozen=True)
class Sweep:
    """A table of a sweep's folder.

    Attributes:
        controls: rows of controls.csv.
        notes: what stands below the table in results.md.
        latex: content of results.tex, of all tables of the folder.
    """

    name: str
    variants: list[Variant]
    baseline: str
    controls: list[dict[str, Any]]
    notes: list[str]
    latex: str


def is_run(folder: Path) -> bool:
    return (folder / "config.yaml").is_file()


def is_sweep(folder: Path) -> bool:
    return (folder / "results.csv").is_file() and (folder / "runs.csv").is_file()


def check_folder(folder: Path) -> None:
    """Raise ValueError if a folder is neither that of a run nor that of a sweep."""
    if is_run(folder) or is_sweep(folder):
        return
    if not folder.is_dir():
        what = "a file; expected the folder of a run" if folder.exists() else "no such folder; expected that of a run"
        raise ValueError(f"{folder}: {what}, runs/<name>, or of a sweep")
    if (folder / ".locks").is_dir():
        raise ValueError(f"{folder}: a sweep without results.csv; nlvideo ablate .. --report-only writes it")
    inside = sorted(each.name for each in folder.iterdir() if is_run(each) or is_sweep(each))
    hint = f"; name one of those in it: {', '.join(inside[:10])}" if inside else ""
    raise ValueError(f"{folder}: no run (config.yaml) and no sweep (results.csv, runs.csv){hint}")


def read_run(folder: Path, name: str | None = None, state: str = "") -> Run:
    """Return what is in the folder of a run.

    Args:
        name: for people; None takes the folder's.
        state: of an unfinished run, if it is known better than its files tell.

    Raises:
        ValueError: a file is not as nlvideo writes it; the message names it.
    """
    config = read_config(folder / "config.yaml")
    fit, test = (read_json(folder / f"{stage}.json") for stage in ("fit", "test"))
    shared = str((fit or {}).get("trained_in", ""))  # another run of a sweep, whose training this one shares
    training = folder.parent / shared if shared and Path(shared).name == shared else folder
    predictions, metrics = folder / "predictions.parquet", training / "metrics.csv"
    found = "trained, not tested" if fit else "not trained to its end"
    return Run(
        folder,
        name or folder.resolve().name,
        config,
        fit,
        test,
        read_csv(metrics) if metrics.is_file() else None,
        read_predictions(predictions) if test and predictions.is_file() else None,
        "finished" if test else state or found,
        training / "last.ckpt",
    )


def read_sweeps(folder: Path) -> list[Sweep]:
    """Return the tables of a sweep's folder.

    Raises:
        ValueError: a file is not as nlvideo writes it; the message names it.
    """
    results = read_csv(folder / "results.csv", ("sweep", "variant", "baseline"))
    runs = read_csv(folder / "runs.csv", ("sweep", "variant", "run", "folder", "state"))
    controls = _controls(folder / "controls.csv")
    latex = read_text(folder / "results.tex") if (folder / "results.tex").is_file() else ""
    notes = _notes(read_text(folder / "results.md")) if (folder / "results.md").is_file() else {}
    read: dict[str, Run] = {}  # a run may be in several tables
    sweeps = []
    for name, rows in results.groupby("sweep", sort=False):
        variants = []
        for row in rows.to_dict("records"):
            its = runs[(runs["sweep"] == name) & (runs["variant"] == row["variant"])]
            variants.append(Variant(str(row["variant"]), row, _runs_of(its, folder, read)))
        baseline = next((each.name for each in variants if each.row["baseline"] in (True, "True")), variants[0].name)
        sweeps.append(Sweep(str(name), variants, baseline, controls.get(name, []), notes.get(str(name), []), latex))
    if not sweeps:
        raise ValueError(f"{folder / 'results.csv'}: no rows; expected what nlvideo ablate writes")
    return sweeps


def _runs_of(rows: pd.DataFrame, folder: Path, read: dict[str, Run]) -> list[Run]:
    found = []
    for row in rows.to_dict("records"):
        name = str(row["folder"])
        if Path(name).name != name:
            raise ValueError(f"{folder / 'runs.csv'}: folder {name!r}; expected the name of a folder beside it")
        if name not in read and is_run(folder / name):
            state = "" if row["state"] == "finished" else str(row["state"])
            read[name] = read_run(folder / name, str(row["run"]).partition(": ")[2] or name, state)
        if name in read:
            found.append(read[name])
    return found


def _controls(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the compute-matched controls of each sweep that has some."""
    if not path.is_file():
        return {}
    table = read_csv(path, ("sweep", "variant", "measure", "control", "off"))
    return {name: rows.to_dict("records") for name, rows in table.groupby("sweep")}


def _notes(markdown: str) -> dict[str, list[str]]:
    """Return the lines below each table of results.md, by the sweep's name."""
    notes: dict[str, list[str]] = {}
    found: list[str] = []
    for line in markdown.splitlines():
        if line.startswith("**"):
            name = line[2:].partition("**")[0]
            found = [] if name in notes else notes.setdefault(name, [])  # the second one is of the sweep's controls
        elif line and not line.startswith("|"):
            found.append(line)
    return notes


def flat(config: dict[str, Any]) -> dict[str, str]:
    """Return the settings of a configuration by dotted key, without the keys that only name classes' arguments."""
    found: dict[str, str] = {}

    def walk(node: Any, key: str) -> None:
        if isinstance(node, dict) and node:
            for name, value in node.items():
                walk(value, f"{key}.{name}".removeprefix(".").replace(".init_args", "").replace(".class_path", ""))
            return
        found[key] = "null" if node is None else str(node).lower() if isinstance(node, bool) else str(node)

    walk(config, "")
    return found


def differing(configs: Sequence[dict[str, str]]) -> list[str]:
    """Return the keys whose values differ between configurations, see `flat`, without those that name folders."""
    keys = list(dict.fromkeys(key for config in configs for key in config))
    named = ("name", "runs_dir", "ckpt_path", "overwrite", "resume", "trainer.default_root_dir")
    return [key for key in keys if key not in named and len({config.get(key) for config in configs}) > 1]
