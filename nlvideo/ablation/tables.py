"""Tables of sweeps, for the terminal, Markdown and LaTeX: plans, and results as in Wang et al. 2018, Table 2."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Group
from rich.table import Table

from nlvideo import tables
from nlvideo.ablation.plan import Plan
from nlvideo.ablation.results import Result, each_once
from nlvideo.ablation.runs import is_done
from nlvideo.evaluation.seeds import Difference, spread_range

NONE = "–"
COMPARED = ("Δ top-1 [95 %]", "p (Holm)", "P(better)", "seeds for 1 %")  # columns, that compare with the baseline
NUM_TOP5 = 5  # with no more classes, everything is among the five best
# Beyond what pandas escapes: LaTeX's own signs, and a bracket, which a line's end would take for its argument.
LATEX = str.maketrans({"×": r"$\times$", "±": r"$\pm$", "Δ": r"$\Delta$", "−": "$-$", "–": "--", "[": "{[}"})


def plan_table(plan: Plan, output: Path, rate: float | None) -> Group:
    """Return a row for each variant: its blocks, what it costs, and what is left to do at `rate` seconds a work."""
    table = Table("variant", "blocks")
    for name in ("params M", "×", "GMACs", "×", "runs", "finished", "time left"):
        table.add_column(name, justify="right", no_wrap=True)
    base = plan.baseline.cost
    for row in plan.rows:
        finished = sum(is_done(run, output) for run in row.runs)
        left = len(row.runs) - finished
        time = "" if not left else "unknown" if rate is None else duration(left * rate * row.runs[0].work)
        table.add_row(
            row.variant.name,
            row.blocks,
            f"{row.cost.params / 1e6:.3f}",
            f"{row.cost.params / base.params:.2f}",
            f"{row.cost.gmacs:.3f}",
            f"{row.cost.gmacs / base.gmacs:.2f}",
            str(len(row.runs)),
            str(finished),
            time,
        )
    return Group(f"{plan.sweep.name}: {plan.sweep.about}", table)


def cells(plan: Plan, results: Sequence[Result]) -> pd.DataFrame:
    """Return the text of the table of results. Columns of which nothing is known are left out."""
    net = plan.baseline.config["model"]["net"]["init_args"]
    model = f"model, R{net['depth']}" if isinstance(net.get("depth"), int) else "model"
    top5 = {"top-5 %": "video_top5"} if net["num_classes"] > NUM_TOP5 else {}
    accuracies = {"top-1 %": "video_top1", **top5, "clip top-1 %": "clip_top1"}
    columns = {model: [result.variant for result in results]}
    columns |= {title: [_accuracy(result, metric) for result in results] for title, metric in accuracies.items()}
    columns["params"] = [f"{_three_digits(its.params / 1e6)} M ({its.params_ratio:.2f}×)" for its in results]
    columns["GMACs"] = [f"{_three_digits(its.gmacs)} ({its.gmacs_ratio:.2f}×)" for its in results]
    columns[COMPARED[0]] = [difference_text(result.difference) for result in results]
    compared = [result.difference for result in results]
    if any(compared):
        columns[COMPARED[1]] = [NONE if its is None else p_text(its.p_holm) for its in compared]
        columns[COMPARED[2]] = [NONE if its is None else share_text(its.better) for its in compared]
    if any(its and its.seeds_needed for its in compared):
        columns[COMPARED[3]] = [str(its.seeds_needed) if its and its.seeds_needed else NONE for its in compared]
    if any(result.published for result in results):
        columns["published"] = [" / ".join(f"{each:.1f}" for each in result.published or ()) for result in results]
    columns["time"] = [NONE if result.seconds is None else duration(result.seconds) for result in results]
    return pd.DataFrame(columns)


def _accuracy(result: Result, metric: str) -> str:
    mean, std = result.mean(metric), result.std(metric)
    if mean is None:
        return "stopped" if result.stopped else NONE
    finished = len(result.scores[metric])
    of = f" ({finished} of {result.num_runs} seeds)" if finished < result.num_runs else ""
    early = f" ({result.ended_early})" if result.ended_early else ""
    return f"{100 * mean:.1f}" + (f" ± {100 * std:.1f}" if std is not None else "") + of + early


def difference_text(its: Difference | None) -> str:
    """Return a difference and its interval, in points."""
    if its is None:
        return NONE
    mean, low, high = (f"{100 * x:+.1f}".replace("-", "−") for x in (its.mean, its.low, its.high))
    return f"{mean} [{low}, {high}]"


def p_text(p: float) -> str:
    return f"{p:.2g}" if p >= 0.001 else "< 0.001"


def share_text(probability: float) -> str:
    return "< 0.01" if probability < 0.005 else "> 0.99" if probability >= 0.995 else f"{probability:.2f}"


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value >= 10 else f"{value:.3f}" if value >= 0.1 else f"{value:.4f}"


def duration(seconds: float) -> str:
    """Return seconds as people say them: 41 s, 2 min 5 s, 3 h 20 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def notes(plan: Plan, results: Sequence[Result]) -> list[str]:
    """Return what has to be known to read the table, a sentence each."""
    views, videos = each_once(its.views for its in results), each_once(its.videos for its in results)
    found = [
        f"Top-1 at video level ({views}); clip: one centred view; {videos} videos." if views else "No run is finished."
    ]
    if any(its.std("video_top1") is not None for its in results):
        found.append("±: standard deviation over seeds.")
    found += statistics_notes(plan.sweep.baseline, [its.difference for its in results if its.difference])
    if any(result.published for result in results):
        found.append("Published: Kinetics-400, top-1 / top-5, by the sweep's file; not our measurement.")
    for result in results:
        early = f"training ended early, after {result.ended_early}" if result.ended_early else ""
        once = f"trained once, in {result.trained_in}" if result.trained_in else ""
        if what := "; ".join(each for each in (result.unfinished, early, once, result.difference_note) if each):
            found.append(f"{result.variant}: {what}.")
    if any(result.stopped and result.scores["video_top1"] for result in results):
        found.append("A mean without the seeds that were stopped is too high: those were the worse ones.")
    return found


def statistics_notes(baseline: str, compared: Sequence[Difference]) -> list[str]:
    """Return what the columns from Δ on mean, and what they do not know."""
    if not compared:
        return []
    fewest, most = (end(its.num_seeds for its in compared) for end in (min, max))
    holds = f"p: of no difference, Holm's correction for {len(compared)} {'row' if len(compared) == 1 else 'rows'}"
    found = [
        f"Δ: to {baseline!r}, on the same {'seeds and ' if most > 1 else ''}videos, over which its 95 % interval is. "
        f"{holds}. P(better): probability that one training scores higher than one of the baseline."
    ]
    if fewest == 1:
        which = "With one seed" if most == 1 else "In rows of one seed"
        found.append(
            f"{which} the interval, p and P(better) are of the videos alone and "
            "know nothing of seeds: another seed may change any of them. --seeds 0,1,2 says how much."
        )
    if any(its.seeds_needed for its in compared):
        low, high = spread_range(most)
        found.append(
            "Seeds for 1 %: so many find a difference of one point on these videos with probability 80 %, by "
            f"Δ's spread over seeds; {most} seeds know the number within × {low:.2g} to × {high:.2g}."
        )
    return found


def rich_table(plan: Plan, results: Sequence[Result]) -> Group:
    """Return the table for the terminal, in two parts: each variant, and its difference to the baseline."""
    frame = cells(plan, results)
    compared = [name for name in frame if name in COMPARED]
    parts = [frame.drop(columns=compared), frame[[frame.columns[0], *compared]]]
    shown = [
        tables.rich_table(part, numbers=True) for part in parts[: 2 if any(its.difference for its in results) else 1]
    ]
    for table in shown:
        for row, result in zip(table.rows, results, strict=True):
            row.end_section = result.variant == plan.sweep.baseline
    return Group(f"{plan.sweep.name}: {plan.sweep.about}", *shown, "\n".join(notes(plan, results)))


def markdown(plan: Plan, results: Sequence[Result]) -> str:
    about = "".join(f"{note}\n" for note in notes(plan, results))
    return f"**{plan.sweep.name}**: {plan.sweep.about}\n\n{tables.markdown(cells(plan, results))}\n\n{about}"


def latex(plan: Plan, results: Sequence[Result]) -> str:
    """Return a tabular with the rules of booktabs; the baseline comes first."""
    frame = cells(plan, sorted(results, key=lambda result: result.variant != plan.sweep.baseline))
    table = frame.to_latex(index=False, escape=True, column_format="l" + "c" * (len(frame.columns) - 1))
    comments = [f"{plan.sweep.name}: {plan.sweep.about}", *notes(plan, results)]
    return "".join(f"% {comment}\n" for comment in comments) + table.translate(LATEX)
