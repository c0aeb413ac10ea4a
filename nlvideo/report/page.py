"""The page of a run, of two runs or of a sweep: one HTML file that opens from disk and asks for nothing else.

Names in the files come from strangers. Jinja escapes them, and the page's content security policy lets no script run
but the two whose hashes it holds: Bokeh's and our own.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import nlvideo
from nlvideo.evaluation.seeds import difference
from nlvideo.report import charts, tables, words
from nlvideo.report.evidence import (
    Network,
    accuracy_by_class,
    changed_confusions,
    flips,
    gain_by_class,
)
from nlvideo.report.source import Run, differing, flat
from nlvideo.report.subject import Subject, read_subject
from nlvideo.report.tables import Cell, Table
from nlvideo.report.videos import show

KEYS = ("value", "low", "high")
SHOWN_FLIPS = 200
SHOWN_CONFUSIONS = 15


@dataclass(frozen=True)
class Options:
    """What a page shows.

    Attributes:
        variant: of a sweep, which is looked at beside the baseline; None for the one with the best top-1.
        videos: moving pictures in each group; 0 for none.
        block: whose attention is shown; None for the first.
        trusted_modules: see `nlvideo.load`.
    """

    variant: str | None = None
    videos: int = 4
    block: str | None = None
    trusted_modules: tuple[str, ...] = ()


def make_page(folders: Sequence[Path], options: Options) -> tuple[str, list[str]]:
    """Return the page as HTML, and lines on what it lacks.

    Raises:
        ValueError: the folders are not of runs or a sweep, or a file in them is not as nlvideo writes it.
    """
    subject = read_subject(folders, options.variant)
    network, reference, gain = subject.network, subject.reference, None
    if network is not None and reference is not None:
        network, reference = network.paired(reference)
        gain = difference(network.right, reference.right)
    runs = [run for _, its in subject.entries for run in its]
    missing = [f"{run.name}: {run.state}" for run in runs if run.test is None]
    content = {
        "title": subject.title,
        "about": f"Made by nlvideo {nlvideo.__version__} on {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC from "
        f"{' and '.join(str(folder) for folder in folders)}.",
        "result": words.result(network, reference, gain) if network else ["No run here has been tested yet."],
        "unfinished": missing,
        "protocol": words.protocol(subject.focus),
        "tables": subject.tables,
        "latex": subject.latex or "\n".join(tables.latex(table) for table in subject.tables),
        **_charts(subject, network, reference),
        **_settings(subject),
        "compute": _compute(runs),
        "checklist": words.checklist(subject.entries, network, _differing(subject)),
        "groups": [],
        "attention": "",
    }
    if network is not None and options.videos:
        content["groups"], content["attention"] = show(
            network, reference, options.videos, options.block, options.trusted_modules
        )
    return _render(content), missing


def _charts(subject: Subject, network: Network | None, reference: Network | None) -> dict[str, Any]:
    """Return charts and the tables beside them, by section."""
    found: dict[str, Any] = {"cost": [], "confusion": [], "classes": [], "details": []}
    found["curves"] = charts.curves(subject.entries)
    points = subject.points()
    for column, axis in (("gmacs", "GMACs of a view"), ("seconds", "seconds of a run")):
        if len(its := points.dropna(subset=[column, "value"])) > 1:
            found["cost"].append(charts.cost(its, column, axis))
    if network is None:
        return found
    for its in (network, reference):
        if its is not None:
            names = its.first.class_names
            found["confusion"].append(charts.confusion(its.confusion(), names, f"Confusion matrix: {its.name}"))
    if reference is None:
        by_class = accuracy_by_class(network)
        found["classes"].append(charts.by_class(by_class, "Accuracy by class", "top-1, %", gain=False))
    else:
        by_class = gain_by_class(network, reference)
        axis = f"gain to {reference.name}, points"
        found["classes"].append(charts.by_class(by_class, "Gains by class", axis, gain=True))
        found["details"] += [_confusions(network, reference), _flips(network, reference)]
    found["details"].insert(0, _classes(by_class, gain=reference is not None))
    return found


def _classes(by_class: Any, *, gain: bool) -> Table:
    form = "+.1f" if gain else ".1f"
    rows = [
        [
            Cell(row["class"]),
            Cell(str(row["videos"]), row["videos"]),
            tables.percent(*(row[k] for k in KEYS), form=form),
        ]
        for row in by_class.to_dict("records")
    ]
    return Table("Each class", ["class", "videos", "gain [95 %]" if gain else "top-1 % [95 %]"], rows)


def _confusions(network: Network, reference: Network) -> Table:
    rows = [
        [
            Cell(label),
            Cell(guess),
            tables.percent(ours),
            tables.percent(theirs),
            tables.percent(ours - theirs, form="+.1f"),
        ]
        for label, guess, ours, theirs in changed_confusions(network, reference, SHOWN_CONFUSIONS)
    ]
    columns = ["label", "taken for", f"{network.name}, %", f"{reference.name}, %", "change"]
    return Table("Confusions that changed most, share of the label's videos", columns, rows)


def _flips(network: Network, reference: Network) -> Table:
    table = flips(network, reference)
    won, lost = int((table["change"] > 0).sum()), int((table["change"] < 0).sum())
    rows = [
        [Cell(str(row[name])) for name in ("id", "label", "network", "reference")]
        + [tables.shown(row["change"], "+.2f")]
        for row in table.head(SHOWN_FLIPS).to_dict("records")
    ]
    seeds = len(network.runs)
    note = f"{won} videos won, {lost} lost" + (f" in more of {seeds} seeds than in fewer" if seeds > 1 else "")
    if len(table) > SHOWN_FLIPS:
        note += f"; the {SHOWN_FLIPS} largest changes are shown"
    columns = ["video", "label", network.name, reference.name, "change"]
    return Table("Videos that flipped", columns, rows, [f"{note}. Predictions are of the first seed."])


def _differing(subject: Subject) -> list[str]:
    keys = differing([flat(run.config) for _, runs in subject.entries for run in runs[:1]])
    return [key for key in keys if key not in ("seed_everything", "data.seed")]


def _settings(subject: Subject) -> dict[str, Any]:
    """Return the settings in which the entries differ, and all settings of the run that is looked at."""
    firsts = [(name, runs[0].config) for name, runs in subject.entries if runs]
    table = None
    if len(firsts) > 1:
        table = tables.differences_table(
            [name for name, _ in firsts], [config for _, config in firsts], _differing(subject)
        )
    return {"differences": table, "settings": flat(subject.focus.config), "focus": subject.focus.name}


def _compute(runs: Sequence[Run]) -> Table:
    rows = []
    for run in {run.folder: run for run in runs}.values():
        cost = words.compute(run)
        times = [
            Cell(tables.NONE) if seconds is None else Cell(tables.duration(seconds), seconds)
            for seconds in (cost["train"], cost["test"])
        ]
        test = run.test or {}
        counted = f"{test.get('num_scored')} of {test.get('num_videos')}" if test else tables.NONE
        versions = ", ".join(f"{name} {value}" for name, value in cost["versions"].items()) or "not recorded"
        hashes = ", ".join(
            f"{split} {str(its.get('sha256'))[:12]}" for split, its in cost["data"].items() if isinstance(its, dict)
        )
        memory = tables.shown(cost["peak_GB"], ".2f")
        rest = [Cell(counted), Cell(hashes or "not recorded"), Cell(cost["device"]), Cell(versions)]
        rows.append([Cell(run.name), Cell(run.state), *times, memory, *rest])
    columns = ["run", "state", "training", "test", "peak GB", "videos", "SHA-256 of the lists", "device", "versions"]
    return Table("Each run", columns, rows)


def _render(content: dict[str, Any]) -> str:
    loader = PackageLoader("nlvideo.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # Bokeh reads its models in their order
    (bokeh,) = Resources(mode="inline", components=["bokeh"], minified=True).js_raw[:1]
    own, style = (loader.get_source(environment, name)[0] for name in ("page.js", "page.css"))
    scripts = [bokeh, own]
    drawn = [chart for name in ("curves", "cost", "confusion", "classes") for chart in content[name]]
    places = {id(chart): f"chart-{i}" for i, chart in enumerate(drawn)}
    return environment.get_template("page.html").render(
        **content,
        style=Markup(style),
        scripts=[Markup(script) for script in scripts],
        hashes=" ".join(f"'sha256-{_sha256(script)}'" for script in scripts),
        place=lambda chart: places[id(chart)],
        items={places[id(chart)]: chart.item for chart in drawn},
    )


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
