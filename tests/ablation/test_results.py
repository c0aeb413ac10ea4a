"""Tables and plots of sweeps, their tool and their loggers. Shapes: n videos, K classes."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from nlvideo.__main__ import main
from nlvideo.ablation import report
from nlvideo.ablation.cost_plot import pareto_front
from nlvideo.ablation.execute import run_one
from nlvideo.ablation.grid import sweep_of_settings
from nlvideo.ablation.launch import Resources
from nlvideo.ablation.plan import make_plan, seconds_per_work
from nlvideo.ablation.report import log_tables, write_report
from nlvideo.ablation.results import collect
from nlvideo.ablation.tables import cells, latex, markdown, plan_table, rich_table
from nlvideo.console import PLAIN
from nlvideo.evaluation.predictions import Predictions, write_predictions
from nlvideo.training.run_folder import write_json

DEMO = ["-c", str(Path(__file__).parents[2] / "configs" / "demo.yaml")]
NUM_VIDEOS, NUM_CLASSES = 200, 7
WIDTHS = ("--set", "model.net.width=4,8")


@pytest.fixture
def plan():
    """Two variants with three seeds each."""
    base = [*DEMO, f"--data.num_classes={NUM_CLASSES}", "--trainer.max_epochs=5"]
    return make_plan(sweep_of_settings(WIDTHS[1:], "widths"), base, [0, 1, 2])


def write_run(folder: Path, accuracy: float, seed: int, *, seconds: float, missing: int = 0) -> np.ndarray:
    """Leaves a finished run whose scores are right with that probability. Returns its scores [n, K]."""
    rng = np.random.default_rng(seed)
    labels = np.arange(NUM_VIDEOS) % NUM_CLASSES
    scores = rng.random((NUM_VIDEOS, NUM_CLASSES)).astype(np.float32)
    scores[rng.random(NUM_VIDEOS) < accuracy, :] *= 0.5
    scores[np.arange(NUM_VIDEOS), labels] += 0.5 * (rng.random(NUM_VIDEOS) < accuracy)
    ids = [f"{i}.mp4" for i in range(NUM_VIDEOS)]
    kept = slice(missing, None)
    names = [f"class {i}" for i in range(NUM_CLASSES)]
    folder.mkdir(parents=True)
    predictions = Predictions(ids[kept], labels[kept], scores[kept], names, ids[:missing])
    write_predictions(folder / "predictions.parquet", predictions)
    counted = {"num_scored": NUM_VIDEOS - missing, "num_videos": NUM_VIDEOS}
    clip = {"top1": accuracy / 2, "top5": accuracy}
    write_json(
        folder / "test.json",
        {"clip": clip, "seconds": seconds / 4, "views": "10 x 1", "protocol": "uniform", **counted},
    )
    write_json(folder / "fit.json", {"seconds": seconds})
    return scores


def test_seeds_are_averaged_and_differences_paired_by_video(plan, tmp_path):
    accuracies = {0: (0.3, 0.32, 0.28), 1: (0.6, 0.7, 0.65)}
    right = {0: [], 1: []}
    labels = np.arange(NUM_VIDEOS) % NUM_CLASSES
    for i, row in enumerate(plan.rows):
        for seed, (run, accuracy) in enumerate(zip(row.runs, accuracies[i], strict=True)):
            missing = 3 if (i, seed) == (1, 2) else 0
            scores = write_run(run.folder(tmp_path), accuracy, 10 * i + seed, seconds=80, missing=missing)
            right[i].append((scores.argmax(axis=1) == labels)[missing:])

    baseline, other = collect(plan, tmp_path)
    means = [its.mean() for its in right[1]]
    assert other.mean("video_top1") == pytest.approx(np.mean(means))
    assert other.std("video_top1") == pytest.approx(np.std(means, ddof=1))
    assert other.mean("clip_top1") == pytest.approx(0.65 / 2)
    assert other.videos == "200 of 200; 197 of 200"
    assert other.seconds == baseline.seconds == 100
    common = [np.mean([its[-197:] for its in right[i]], axis=0) for i in (0, 1)]  # [197] each, the seeds' mean
    gained = common[1] - common[0]
    assert other.difference.mean == pytest.approx(gained.mean())
    of_seeds = np.array([(right[1][s][-197:].mean() - right[0][s][-197:].mean()) for s in range(3)])
    assert other.difference.num_seeds == 3
    assert other.difference.num_videos == 197
    # Not narrower than the videos alone say, not wider than the seeds alone and the videos alone say together.
    of_videos = 1.96 * gained.std() / np.sqrt(len(gained))
    half = (other.difference.high - other.difference.low) / 2
    assert of_videos < half < of_videos + 4.31 * of_seeds.std(ddof=1) / np.sqrt(3)  # t of two degrees of freedom
    assert other.difference.p_holm == other.difference.p  # the table has one row beside the baseline
    assert other.interval[0] < other.mean("video_top1") < other.interval[1]

    shown = cells(plan, [baseline, other]).iloc[1]
    assert shown["top-1 %"] == f"{100 * np.mean(means):.1f} ± {100 * np.std(means, ddof=1):.1f}"
    assert "top-5 %" in shown.index  # more than five classes
    write_report([plan], tmp_path)
    table = pd.read_csv(tmp_path / "results.csv").set_index("variant")
    assert table.loc["width 8", "difference_mean"] == pytest.approx(gained.mean())
    for name in ("low", "high", "p", "better", "seeds_needed", "num_seeds", "num_videos", "p_holm"):
        assert table.loc["width 8", f"difference_{name}"] == getattr(other.difference, name)
    assert (table.loc["width 8", "video_top1_low"], table.loc["width 8", "video_top1_high"]) == other.interval
    assert table.loc["width 8", "video_top1_std"] == pytest.approx(np.std(means, ddof=1))
    assert len(pd.read_csv(tmp_path / "runs.csv")) == 6


def test_a_table_of_what_is_finished(plan, tmp_path):
    for row, seeds in zip(plan.rows, ((0,), (0, 1)), strict=True):
        for seed in seeds:
            write_run(row.runs[seed].folder(tmp_path), 0.5, seed, seconds=80)
    write_json(plan.rows[0].runs[1].folder(tmp_path).parent / "unrelated.json", {})
    results = collect(plan, tmp_path)
    frame = cells(plan, results)
    assert frame["top-1 %"][0].endswith(" (1 of 3 seeds)")
    assert [result.unfinished for result in results] == ["not run"] * 2
    text = markdown(plan, results)
    assert "width 8: not run." in text
    assert "With one seed" in text  # the seed that both have
    assert "know nothing of seeds" in text
    assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {len(frame.columns) + 1}


def test_latex_has_the_papers_layout_and_escapes_names(plan, tmp_path):
    names = ["100 % _x_ & more", "{res3: [0, 1]} \\ # $"]
    rows = tuple(
        replace(row, variant=replace(row.variant, name=name)) for row, name in zip(plan.rows, names, strict=True)
    )
    plan = replace(plan, rows=rows, sweep=replace(plan.sweep, baseline=names[1]))
    lines = [line for line in latex(plan, collect(plan, tmp_path)).splitlines() if not line.startswith("%")]
    assert lines[0] == r"\begin{tabular}{lccccccc}"
    assert [lines[1], lines[3], lines[-2], lines[-1]] == [r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}"]
    baseline, other = lines[4:6]
    assert baseline.startswith(r"\{res3: {[}0, 1]\} \textbackslash \space \# \$ & -- &")
    assert other.startswith(r"100 \% \_x\_ \& more & -- &")
    assert r"$\Delta$ top-1 {[}95 \%]" in lines[2]
    assert r"(1.00$\times$)" in baseline


def test_the_interval_of_an_accuracy_stays_between_0_and_100_percent(plan, tmp_path):
    for row, accuracy in zip(plan.rows, (0.3, 0.99), strict=True):
        write_run(row.runs[0].folder(tmp_path), accuracy, 0, seconds=1)
    result = collect(plan, tmp_path)[1]
    low, high = result.interval
    assert 0.97 < low < result.mean("video_top1") < high <= 1
    assert result.mean("video_top1") + result.difference.high - result.difference.mean > 1  # so it isn't drawn there


def test_the_front_is_what_nothing_as_cheap_equals():
    points = [(3, 50), (1, 40), (2, 39), (2, 45), (4, 50), (5, 60), (1, 30)]
    assert pareto_front(points) == [1, 3, 0, 5]
    assert pareto_front([]) == []


def test_other_videos_are_not_compared(plan, tmp_path):
    for row, missing in zip(plan.rows, (0, NUM_VIDEOS - 1), strict=True):
        write_run(row.runs[0].folder(tmp_path), 0.5, 0, seconds=1, missing=missing)
    other = plan.rows[1].runs[0].folder(tmp_path) / "predictions.parquet"
    names = [f"class {i}" for i in range(NUM_CLASSES)]
    write_predictions(other, Predictions(["x.mp4"], np.array([0]), np.ones((1, NUM_CLASSES), np.float32), names))
    results = collect(plan, tmp_path)
    assert results[1].difference is None
    assert "width 8: not run; not tested on the videos and labels of 'width 4'." in markdown(plan, results)


def test_names_with_brackets_are_shown_as_they_are(tmp_path):
    sweep = sweep_of_settings(["model.net.depth=[1, 2, 2, 2]"], "lists")
    sweep = replace(sweep, variants=(replace(sweep.variants[0], name="[bold]x"),), baseline="[bold]x")
    plan = make_plan(sweep, DEMO, [0])
    shown = Console(file=io.StringIO(), width=200, **PLAIN)
    shown.print(plan_table(plan, tmp_path, None), rich_table(plan, collect(plan, tmp_path)))
    assert shown.file.getvalue().count("[bold]x") == 3  # two rows and a note


def test_time_is_estimated_by_multiply_adds_and_epochs(plan, tmp_path):
    narrow, wide = plan.rows
    write_run(narrow.runs[0].folder(tmp_path), 0.5, 0, seconds=80)
    rate = seconds_per_work([run for row in plan.rows for run in row.runs], tmp_path)
    assert rate * narrow.runs[1].work == pytest.approx(100)
    assert rate * wide.runs[0].work == pytest.approx(100 * wide.cost.gmacs / narrow.cost.gmacs)
    assert narrow.runs[0].work == pytest.approx(5 * narrow.cost.gmacs)


def test_the_command_plans_and_reports(plan, tmp_path, capsys):
    arguments = [*DEMO, f"--data.num_classes={NUM_CLASSES}", "--trainer.max_epochs=5", *WIDTHS, "--seeds=0,1,2"]
    assert main(["ablate", *arguments, "-o", str(tmp_path / "new"), "--plan"]) == 0
    printed = capsys.readouterr().out
    assert "6 of 6 runs to do; time one after another: unknown until one is finished" in printed
    assert not (tmp_path / "new").exists()
    for row in plan.rows:
        for seed, run in enumerate(row.runs):
            write_run(run.folder(tmp_path), 0.5, seed, seconds=80)
    assert main(["ablate", *arguments, "-o", str(tmp_path), "--report-only"]) == 0
    assert " ± " in capsys.readouterr().out
    assert (tmp_path / "accuracy.pdf").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "model.net.after.at=none,nl7"], "variant nl7: placement 'nl7': expected none, nl1"),
        (["--set", "model.net.width=4", "--report-only"], "no such folder"),
    ],
)
def test_an_error_is_a_line(arguments, words, tmp_path, capsys):
    assert main(["ablate", *DEMO, *arguments, "-o", str(tmp_path / "new")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("nlvideo: ")
    assert words in line


@pytest.fixture
def logged(tmp_path, monkeypatch):
    """A plan whose configuration logs to W&B, where nobody is logged in."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    base = [*DEMO, "--trainer.logger=WandbLogger", "--trainer.logger.project=mine"]
    return make_plan(sweep_of_settings(["model.net.width=4"], "widths"), base, [0])


def test_runs_and_table_of_a_sweep_are_one_group_in_wandb(logged, tmp_path):
    (run,) = logged.rows[0].runs
    environments = []
    run_one(run, tmp_path, Resources(), lambda arguments, log, environment, shown: environments.append(environment), 0)
    assert [environment["WANDB_RUN_GROUP"] for environment in environments] == ["widths", "widths"]
    log_tables([(logged, collect(logged, tmp_path))], tmp_path)
    (offline,) = (tmp_path / "wandb").glob("offline-run-*")
    assert list(offline.glob("files/media/table/results*.json"))


def test_a_table_that_cannot_be_logged_stops_nothing(logged, tmp_path, monkeypatch, capsys):
    def fail(**settings):
        raise ConnectionError("no network")

    monkeypatch.setattr(report, "WandbLogger", fail)
    log_tables([(logged, collect(logged, tmp_path))], tmp_path)
    assert "the table of widths is not logged: no network" in capsys.readouterr().out
