"""Tables of compute-matched controls: what was found, and each variant's difference to its own control."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from rich.console import Group

from nlvideo import tables
from nlvideo.ablation.plan import Plan
from nlvideo.ablation.results import compare_rows
from nlvideo.ablation.tables import LATEX, NONE, difference_text, p_text, share_text
from nlvideo.evaluation.seeds import Difference, holm

ALIKE = {"params": "parameters", "macs": "multiply-adds", "time": "time of a training step"}
ABOUT = (
    "A control is the baseline made deeper or wider until it costs as much as the variant; off by: its cost relative "
    "to the variant's. Δ: of the variant to its control, on the same videos and seeds, with its 95 % interval. p: of "
    "no difference, Holm's correction for the rows of this table."
)


def control_frame(plan: Plan, output: Path) -> pd.DataFrame:
    """Return a row for each variant and measure, unrounded: the content of controls.csv."""
    rows = []
    for control, gained in zip(plan.controls, _compare(plan, output), strict=True):
        rows.append(
            {
                "sweep": plan.sweep.name,
                "variant": control.variant,
                "measure": control.measure,
                "control": control.name,
                **{f"control_{name}": control.settings.get(name) for name in ("depth", "width")},
                "off": control.off,
                **{f"difference_{name}": value for name, value in (vars(gained) if gained else {}).items()},
            }
        )
    return pd.DataFrame(rows)


def _compare(plan: Plan, output: Path) -> list[Difference | None]:
    """Return each variant's difference to its control; None until both have a finished run of one seed."""
    rows = {row.variant.name: row for row in plan.rows}
    found = [compare_rows(rows[its.variant], rows[its.name], output)[0] for its in plan.controls]
    corrected = iter(holm([its.p for its in found if its]))
    return [its and replace(its, p_holm=next(corrected)) for its in found]


def plan_lines(plan: Plan) -> list[str]:
    """Return a line for each control: of what variant, found by which of depth and width, and how near it comes."""
    return [
        f"control of {its.variant}, {ALIKE[its.measure]}: {its.name}"
        + ("" if its.settings else ", for nothing deeper or wider comes nearer")
        + f" ({_percent(its.off)})"
        for its in plan.controls
    ]


def _cells(plan: Plan, output: Path) -> pd.DataFrame:
    compared = _compare(plan, output)
    return pd.DataFrame(
        {
            "model": [its.variant for its in plan.controls],
            "alike in": [ALIKE[its.measure] for its in plan.controls],
            "control": [its.name for its in plan.controls],
            "off by": [_percent(its.off) for its in plan.controls],
            "Δ top-1 to it [95 %]": [difference_text(its) for its in compared],
            "p (Holm)": [NONE if its is None else p_text(its.p_holm) for its in compared],
            "P(better)": [NONE if its is None else share_text(its.better) for its in compared],
        }
    )


def rich_controls(plan: Plan, output: Path) -> Group:
    return Group(f"{plan.sweep.name}: controls", tables.rich_table(_cells(plan, output)), ABOUT)


def markdown_controls(plans: Sequence[Plan], output: Path) -> str:
    found = [
        f"\n**{plan.sweep.name}**: controls\n\n{tables.markdown(_cells(plan, output))}\n"
        for plan in plans
        if plan.controls
    ]
    return "".join(found) + (f"\n{ABOUT}\n" if found else "")


def latex_controls(plans: Sequence[Plan], output: Path) -> str:
    return "".join(
        f"\n% {plan.sweep.name}: controls. {ABOUT}\n"
        + _cells(plan, output).to_latex(index=False, escape=True, column_format="lllcccc").translate(LATEX)
        for plan in plans
        if plan.controls
    )


def _percent(off: float) -> str:
    return f"{100 * off:+.1f} %".replace("-", "−")
