"""The report of a sweep: tables and pictures of what is finished, from the files of its runs alone."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from filelock import FileLock
from lightning.pytorch.loggers import WandbLogger

from nlvideo.ablation.control_tables import control_frame, latex_controls, markdown_controls
from nlvideo.ablation.cost_plot import plot_cost
from nlvideo.ablation.csv_files import by_run, by_variant
from nlvideo.ablation.plan import Plan
from nlvideo.ablation.plots import plot_accuracy, plot_curves
from nlvideo.ablation.results import Result, collect
from nlvideo.ablation.tables import cells, latex, markdown
from nlvideo.console import console
from nlvideo.files import write_text
from nlvideo.training.loggers import logged_in_to_wandb, wandb_loggers

FILES = "results.md, results.tex, results.csv, runs.csv; accuracy, cost and curves as .png and .pdf"


def write_report(plans: Sequence[Plan], output: Path) -> list[tuple[Plan, list[Result]]]:
    """Write the results of all sweeps into one set of files (`FILES`), a table or a panel for each sweep; and
    controls.csv, if there are controls.

    Of several runners on one folder, one writes at a time.
    """
    (output / ".locks").mkdir(parents=True, exist_ok=True)
    with FileLock(output / ".locks" / "report.lock"):
        panels = [(plan, collect(plan, output)) for plan in plans]
        tables = {
            "results.md": "\n".join(markdown(*panel) for panel in panels) + markdown_controls(plans, output),
            "results.tex": "\n".join(latex(*panel) for panel in panels) + latex_controls(plans, output),
            "results.csv": pd.concat([by_variant(*panel) for panel in panels]).to_csv(index=False),
            "runs.csv": pd.concat([by_run(plan, output) for plan in plans]).to_csv(index=False),
        }
        if any(plan.controls for plan in plans):
            controls = pd.concat([control_frame(plan, output) for plan in plans])
            tables["controls.csv"] = controls.to_csv(index=False)
        else:
            (output / "controls.csv").unlink(missing_ok=True)  # of an earlier plan
        for name, text in tables.items():
            write_text(output / name, text)
        plot_accuracy(panels, output)
        plot_cost(panels, output)
        plot_curves(plans, output)
    return panels


def log_tables(panels: Sequence[tuple[Plan, Sequence[Result]]], output: Path) -> None:
    """Log the table of each sweep to W&B, as one more run of its group; offline if nobody is logged in."""
    for plan, results in panels:
        for logger in wandb_loggers(plan.baseline.config["trainer"]["logger"]):
            given = {name: value for name, value in logger["init_args"].items() if value is not None}
            settings = {"group": plan.sweep.name, **given}
            settings |= {"name": f"{plan.sweep.name}: table", "save_dir": str(output)}
            if not logged_in_to_wandb():
                os.environ.setdefault("WANDB_MODE", "offline")
            try:
                run = WandbLogger(**settings)
                run.log_table("results", dataframe=cells(plan, results))
                run.experiment.finish()
            except Exception as error:  # whatever a third-party client raises, from no network to no login
                console().print(f"W&B: the table of {plan.sweep.name} is not logged: {error}")
