"""Writes what a sweep has given so far: tables and pictures, from the files of its runs alone."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from lightning.pytorch.loggers import WandbLogger
from rich.console import Group

from nlvideo.ablation import plots
from nlvideo.ablation.claims import claim
from nlvideo.ablation.plan import Plan
from nlvideo.ablation.results import Result, by_run, by_variant, collect
from nlvideo.ablation.tables import cells, latex, markdown, rich_table
from nlvideo.console import console
from nlvideo.files import write_text
from nlvideo.training.loggers import logged_in_to_wandb, wandb_loggers

FILES = "results.md, results.tex, results.csv, runs.csv; accuracy, cost and curves as .png and .svg"


def write_report(plans: Sequence[Plan], output: Path) -> list[tuple[Plan, list[Result]]]:
    """Results of all sweeps into one set of files (`FILES`), a table or a panel for each sweep.

    Of several runners that share the folder, one writes at a time.
    """
    with claim(output / ".claims" / "report.lock", wait=True):
        panels = [(plan, collect(plan, output)) for plan in plans]
        tables = {
            "results.md": "\n".join(markdown(*panel) for panel in panels),
            "results.tex": "\n".join(latex(*panel) for panel in panels),
            "results.csv": pd.concat([by_variant(*panel) for panel in panels]).to_csv(index=False),
            "runs.csv": pd.concat([by_run(plan, output) for plan in plans]).to_csv(index=False),
        }
        for name, text in tables.items():
            write_text(output / name, text)
        plots.plot_accuracy(panels, output)
        plots.plot_cost(panels, output)
        plots.plot_curves(plans, output)
    return panels


def result_tables(panels: Sequence[tuple[Plan, Sequence[Result]]]) -> list[Group]:
    """For the terminal."""
    return [rich_table(*panel) for panel in panels]


def log_tables(panels: Sequence[tuple[Plan, Sequence[Result]]], output: Path) -> None:
    """One more run in each sweep's group, with its table; offline where nobody is logged in. Never fails."""
    for plan, results in panels:
        columns, rows = cells(plan, results)
        for logger in wandb_loggers(plan.baseline.config["trainer"]["logger"]):
            given = {key: value for key, value in logger["init_args"].items() if value is not None}
            settings = {"group": plan.sweep.name, **given, "name": f"{plan.sweep.name}: table", "save_dir": str(output)}
            if not logged_in_to_wandb():
                os.environ.setdefault("WANDB_MODE", "offline")
            try:
                run = WandbLogger(**settings)
                run.log_table("results", columns=columns, data=rows)
                run.experiment.finish()
            except Exception as error:  # whatever a third-party client raises, from no network to no login
                console().print(f"W&B: the table of {plan.sweep.name} is not logged: {error}", markup=False)
