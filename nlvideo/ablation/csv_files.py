"""Content of results.csv and runs.csv: what other programs read of a sweep, unrounded."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from nlvideo.ablation.plan import Plan
from nlvideo.ablation.results import Result, right_of, state_of
from nlvideo.ablation.runs import is_finished, read, seconds


def by_variant(plan: Plan, results: Sequence[Result]) -> pd.DataFrame:
    """Return the content of results.csv: the numbers of the table, unrounded."""
    rows = []
    for its in results:
        columns = asdict(its)
        names = ("scores", "interval", "difference", "published")
        scores, interval, difference, published = (columns.pop(name) for name in names)
        rows.append(
            {
                "sweep": plan.sweep.name,
                "baseline": its.variant == plan.sweep.baseline,
                "finished": len(scores["video_top1"]),
                **{f"control_{name}": "; ".join(each) for name, each in _control_of(plan, its.variant).items()},
                **columns,
                **{f"{metric}_mean": its.mean(metric) for metric in scores},
                **{f"{metric}_std": its.std(metric) for metric in scores},
                **{f"video_top1_{name}": value for name, value in zip(("low", "high"), interval or (), strict=False)},
                **{f"difference_{name}": value for name, value in (difference or {}).items()},
                **{f"published_{name}": value for name, value in zip(("top1", "top5"), published or (), strict=False)},
            }
        )
    return pd.DataFrame(rows)


def _control_of(plan: Plan, name: str) -> dict[str, list[str]]:
    """Return of which variants a row is the control, and what both have alike; empty for other rows."""
    found = [its for its in plan.controls if its.name == name]
    return {"of": [its.variant for its in found], "measure": [its.measure for its in found]}


def by_run(plan: Plan, output: Path) -> pd.DataFrame:
    """Return the content of runs.csv: each run, its folder and its accuracies."""
    rows: list[dict[str, Any]] = []
    for row in plan.rows:
        for run in row.runs:
            seed = int(run.arguments[-1].rpartition("=")[2])
            folder = run.folder(output)
            about = {"sweep": plan.sweep.name, "variant": row.variant.name, "seed": seed, "run": run.label}
            about["folder"] = folder.name
            if not is_finished(folder):
                rows.append({**about, "state": state_of(run, output)})
                continue
            accuracies = {
                f"video_{name}": right_of(folder / "predictions.parquet")[name].mean() for name in ("top1", "top5")
            }
            clip = read(folder, "test.json")["clip"]
            accuracies |= {f"clip_{name}": clip[name] for name in ("top1", "top5")}
            times = {f"{name}_seconds": value for name, value in seconds(folder).items()}
            rows.append({**about, "state": "finished", **accuracies, **times})
    return pd.DataFrame(rows)
