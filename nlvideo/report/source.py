"""What a page is made of: the files of a run, of two runs or of a sweep. They are data: nothing in them is executed.

Whatever a run has not written yet is None, and the page says so.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from nlvideo.evaluation.predictions import Predictions, read_predictions

MAX_BYTES = 50 * 2**20  # of a text file: what nlvideo writes is far smaller
MAX_VALUES = 10_000  # of a configuration
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
        notes: what stands below the table in results.md.
        latex: content of results.tex, of all tables of the folder.
    """

    name: str
    variants: list[Variant]
    baseline: str
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
    config = _read_yaml(folder / "config.yaml")
    fit, test = (_read_json(folder / f"{stage}.json") for stage in ("fit", "test"))
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
        _read_csv(metrics) if metrics.is_file() else None,
        read_predictions(predictions) if test and predictions.is_file() else None,
        "finished" if test else state or found,
        training / "last.ckpt",
    )


def read_sweeps(folder: Path) -> list[Sweep]:
    """Return the tables of a sweep's folder.

    Raises:
        ValueError: a file is not as nlvideo writes it; the message names it.
    """
    results, runs = _read_csv(folder / "results.csv"), _read_csv(folder / "runs.csv")
    for name, table, columns in (
        ("results.csv", results, ("sweep", "variant", "baseline")),
        ("runs.csv", runs, ("sweep", "variant", "run", "folder", "state")),
    ):
        if missing := [column for column in columns if column not in table]:
            raise ValueError(f"{folder / name}: no column {missing[0]!r}; expected what nlvideo ablate writes")
    latex = _read_text(folder / "results.tex") if (folder / "results.tex").is_file() else ""
    notes = _notes(_read_text(folder / "results.md")) if (folder / "results.md").is_file() else {}
    read: dict[str, Run] = {}  # a run may be in several tables
    sweeps = []
    for name, rows in results.groupby("sweep", sort=False):
        variants = []
        for row in rows.to_dict("records"):
            its = runs[(runs["sweep"] == name) & (runs["variant"] == row["variant"])]
            variants.append(Variant(str(row["variant"]), row, _runs_of(its, folder, read)))
        baseline = next((each.name for each in variants if each.row["baseline"] in (True, "True")), variants[0].name)
        sweeps.append(Sweep(str(name), variants, baseline, notes.get(str(name), []), latex))
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


def _notes(markdown: str) -> dict[str, list[str]]:
    """Return the lines below each table of results.md, by the sweep's name."""
    notes: dict[str, list[str]] = {}
    for line in markdown.splitlines():
        if line.startswith("**"):
            notes[line[2:].partition("**")[0]] = found = []
        elif line and not line.startswith("|") and notes:
            found.append(line)
    return notes


def _read_text(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size:,} bytes; what nlvideo writes has no more than {MAX_BYTES:,}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file ({error})") from error


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(_read_text(path), LOADER)  # safe: plain values only
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if _size(content) > MAX_VALUES:  # few bytes can name one list many times
        raise ValueError(f"{path}: more than {MAX_VALUES:,} values; what nlvideo writes has some hundred")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), dict) for key in ("model", "data")):
        raise ValueError(f"{path}: not the configuration of a run: no mappings model and data")
    return content


def _size(node: Any, counted: int = 0) -> int:
    """Return how many values a nested one has, and no more than `MAX_VALUES` + 1."""
    items = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for item in items:
        if counted > MAX_VALUES:
            break
        counted = _size(item, counted)
    return counted + 1


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a mapping, got {type(content).__name__}")
    return content


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, keep_default_na=False, na_values=[""])  # a variant may be called null
    except (ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"{path}: not a table: {' '.join(str(error).split())}") from error


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
