"""A sweep's results as text: for the terminal, Markdown and LaTeX, in the layout of Wang et al. 2018, Table 2."""

import re
from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from nlvideo.ablation.plan import Plan, duration
from nlvideo.ablation.results import Result

NONE = "–"
NUM_TOP5 = 5  # with no more classes, everything is among the five best
LATEX = {"%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "{": r"\{", "}": r"\}", "$": r"\$", "×": r"$\times$"}
LATEX |= {
    "[": "{[}",
    "±": r"$\pm$",
    "–": "--",
    "Δ": r"$\Delta$",
    "−": "$-$",
    "^": r"\^{}",
    "~": r"\~{}",
    "\\": r"\textbackslash{}",
}


def cells(plan: Plan, results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Header and rows. Columns of which nothing is known are left out."""
    net = plan.baseline.config["model"]["net"]["init_args"]
    model = f"model, R{net['depth']}" if isinstance(net.get("depth"), int) else "model"
    top5 = {"top-5 %": "video_top5"} if net["num_classes"] > NUM_TOP5 else {}
    accuracies = {"top-1 %": "video_top1", **top5, "clip top-1 %": "clip_top1"}
    columns = {model: [result.variant for result in results]}
    columns |= {title: [_accuracy(result, metric) for result in results] for title, metric in accuracies.items()}
    columns["params"] = [f"{_millions(result.params)} ({result.params_ratio:.2f}×)" for result in results]
    columns["GMACs"] = [f"{_three_digits(result.gmacs)} ({result.gmacs_ratio:.2f}×)" for result in results]
    columns["Δ top-1 [95 %]"] = [_difference(result) for result in results]
    columns["published"] = [" / ".join(f"{each:.1f}" for each in result.published or ()) for result in results]
    columns["time"] = [NONE if result.seconds is None else duration(result.seconds) for result in results]
    if not any(columns["published"]):
        del columns["published"]
    return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]


def _accuracy(result: Result, metric: str) -> str:
    mean, std = result.mean(metric), result.std(metric)
    if mean is None:
        return NONE
    finished = len(result.scores[metric])
    of = f" ({finished} of {result.num_runs} seeds)" if finished < result.num_runs else ""
    return f"{100 * mean:.1f}" + (f" ± {100 * std:.1f}" if std is not None else "") + of


def _difference(result: Result) -> str:
    if result.difference is None:
        return NONE
    mean, low, high = (f"{100 * x:+.1f}".replace("-", "−") for x in vars(result.difference).values())
    return f"{mean} [{low}, {high}]"


def _millions(params: int) -> str:
    return f"{_three_digits(params / 1e6)} M"


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value >= 10 else f"{value:.3f}" if value >= 0.1 else f"{value:.4f}"


def notes(plan: Plan, results: Sequence[Result]) -> list[str]:
    """What has to be known to read the table, a sentence each."""
    num_seeds, views, videos = len(plan.rows[0].runs), _known(results, "views"), _known(results, "videos")
    if not views:
        found = ["No run is finished."]
    else:
        found = [f"Top-1 at video level ({views}); clip: one centred view; {videos} videos."]
    found.append(
        f"Δ: to {plan.sweep.baseline!r}, with the 95 % interval of a paired bootstrap over the videos"
        + (f"; ±: standard deviation over {num_seeds} seeds." if num_seeds > 1 else "; one seed.")
    )
    if any(result.published for result in results):
        found.append("Published: Kinetics-400, top-1 / top-5, by the sweep's file; not our measurement.")
    for result in results:
        if said := "; ".join(each for each in (result.unfinished, result.difference_note) if each):
            found.append(f"{result.variant}: {said}.")
    return found


def _known(results: Sequence[Result], name: str) -> str:
    return "; ".join(dict.fromkeys(value for result in results if (value := getattr(result, name))))


def rich_table(plan: Plan, results: Sequence[Result]) -> Group:
    header, rows = cells(plan, results)
    table = Table()
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left", no_wrap=bool(i))
    for row, result in zip(rows, results, strict=True):
        table.add_row(*map(Text, row), end_section=result.variant == plan.sweep.baseline)
    return Group(Text(f"{plan.sweep.name}: {plan.sweep.about}"), table, Text("\n".join(notes(plan, results))))


def markdown(plan: Plan, results: Sequence[Result]) -> str:
    header, rows = cells(plan, results)
    lines = [header, ["---"] * len(header), *rows]
    table = "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)
    about = "".join(f"{note}\n" for note in notes(plan, results))
    return f"**{plan.sweep.name}**: {plan.sweep.about}\n\n{table}\n{about}"


def latex(plan: Plan, results: Sequence[Result]) -> str:
    """A tabular with the rules of booktabs; its first row is the baseline."""
    header, rows = cells(plan, results)
    names = [result.variant for result in results]
    first = names.index(plan.sweep.baseline)
    ordered = [rows[first], *rows[:first], *rows[first + 1 :]]
    lines = [f"{' & '.join(_escaped(cell) for cell in line)} \\\\" for line in [header, *ordered]]
    return "\n".join(
        [
            f"% {plan.sweep.name}: {plan.sweep.about}",
            *(f"% {note}" for note in notes(plan, results)),
            f"\\begin{{tabular}}{{l{'c' * (len(header) - 1)}}}",
            "\\toprule",
            lines[0],
            "\\midrule",
            lines[1],
            "\\midrule",
            *lines[2:],
            "\\bottomrule",
            "\\end{tabular}",
            "",
        ]
    )


def _escaped(text: str) -> str:
    return re.sub("|".join(map(re.escape, LATEX)), lambda match: LATEX[match[0]], text)
