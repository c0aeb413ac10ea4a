"""Running sweeps: finished, interrupted, failed, shared and killed runs. Letters: n videos."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from nlvideo.__main__ import main
from nlvideo.ablation.execute import Runner, run_one
from nlvideo.ablation.launch import Resources, find_error, in_subprocess
from nlvideo.ablation.plan import all_runs, make_plan
from nlvideo.ablation.report import write_report
from nlvideo.ablation.results import collect
from nlvideo.ablation.runs import Run, StopRule, failure, is_done, is_finished, is_running, read, try_lock
from nlvideo.ablation.tables import cells, markdown
from nlvideo.ablation.variants import read_sweep
from nlvideo.evaluation.predictions import read_predictions
from nlvideo.training.run_folder import write_json
from nlvideo.training.run_lock import run_lock

FOUR = {
    "plain": {"model.net.after.at": "none"},
    "res3": {"model.net.after.at": {"res3": [0]}},
    "res4": {"model.net.after.at": {"res4": [-1]}},
    "se": {"model.net.after.at": "none", "model.net.branch.at": "all"},
}


class InProcess:
    """Runs nlvideo's commands here, which saves the imports, and remembers them."""

    def __init__(self):
        self.commands = []

    def __call__(self, arguments, log, environment, shown) -> str | None:
        self.commands.append(arguments)
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                status = main(list(arguments))
        except SystemExit as stop:
            status = stop.code
        return find_error(said.getvalue().splitlines()) if status else None


def write_sweep(folder: Path, variants) -> Path:
    path = folder / "four.yaml"
    path.write_text(yaml.safe_dump({"baseline": "plain", "variants": variants}, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def base(tiny):
    return [*tiny, "--trainer.max_epochs=1"]


@pytest.fixture(scope="module")
def four(tmp_path_factory, base):
    """The plan of four variants, and the folder in which they were run undisturbed."""
    output = tmp_path_factory.mktemp("undisturbed")
    plan = make_plan(read_sweep(write_sweep(output, FOUR)), base, [0])
    launch = InProcess()
    Runner(all_runs([plan]), output, [Resources()], launch=launch).work()
    assert [command[0] for command in launch.commands] == ["fit", "test"] * 4
    write_report([plan], output)
    return plan, output


def table(plan, output) -> list[list[str]]:
    """What the table says, without the times."""
    return cells(plan, collect(plan, output)).drop(columns="time").to_numpy().tolist()


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in sorted(folder.glob("*/*.ckpt"))}


def test_the_tables_numbers_are_those_of_the_predictions(four):
    plan, output = four
    results = collect(plan, output)
    right = {}
    for row, result in zip(plan.rows, results, strict=True):
        (run,) = row.runs
        predictions = read_predictions(run.folder(output) / "predictions.parquet")
        right[row.variant.name] = predictions.scores.argmax(axis=1) == predictions.labels  # [n]
        assert result.scores["video_top1"] == [right[row.variant.name].mean()]
        assert result.videos == "8 of 8"
    for result in results[1:]:
        difference = right[result.variant].mean() - right["plain"].mean()
        assert result.difference.mean == pytest.approx(difference)
        assert result.difference.low <= difference <= result.difference.high
    assert results[0].difference is None
    assert results[0].params < results[1].params
    assert results[1].params_ratio == results[1].params / results[0].params
    for name in ("results.md", "results.tex", "results.csv", "runs.csv"):
        assert "res3" in (output / name).read_text()
    for name in ("accuracy", "cost", "curves"):
        assert (output / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (output / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_a_finished_sweep_is_not_repeated_and_its_report_is_made_again(four):
    plan, output = four
    before, tables = times(output), (output / "results.md").read_text()
    launch = InProcess()
    Runner(all_runs([plan]), output, [Resources()], launch=launch).work()
    (output / "results.md").unlink()
    write_report([plan], output)
    assert launch.commands == []
    assert times(output) == before
    assert (output / "results.md").read_text() == tables


def test_a_sweep_that_was_killed_ends_as_an_undisturbed_one(four, base, tmp_path):
    """kill -9 of the sweep and its training, while the second of four runs is at it."""
    plan, undisturbed = four
    output = tmp_path / "killed"
    sweep = write_sweep(tmp_path, FOUR)
    command = [sys.executable, "-m", "nlvideo", "ablate", *base, "--sweep", sweep, "-o", output]
    sweeping = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first, second, *_ = all_runs([plan])
    deadline = time.monotonic() + 240
    while not (second.folder(output) / "config.yaml").is_file():  # its training has begun
        assert sweeping.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(sweeping.pid, signal.SIGKILL)
    sweeping.wait()
    assert is_finished(first.folder(output))
    assert not is_finished(second.folder(output))
    before = times(first.folder(output).parent)[first.folder(output) / "last.ckpt"]

    launch = InProcess()
    Runner(all_runs([plan]), output, [Resources()], launch=launch).work()
    assert table(plan, output) == table(plan, undisturbed)
    for run in all_runs([plan]):
        ours, theirs = (
            read_predictions(run.folder(folder) / "predictions.parquet") for folder in (output, undisturbed)
        )
        assert ours.ids == theirs.ids
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4)
    assert times(output)[first.folder(output) / "last.ckpt"] == before
    assert len([command for command in launch.commands if command[0] == "test"]) == 3


def test_an_interrupted_training_is_resumed_and_a_half_written_checkpoint_is_not(four, tmp_path):
    plan, undisturbed = four
    for run, content in zip(all_runs([plan])[:2], ("whole", "half"), strict=True):
        folder = run.folder(tmp_path)
        folder.mkdir()
        checkpoint = (run.folder(undisturbed) / "last.ckpt").read_bytes()
        (folder / "last.ckpt").write_bytes(checkpoint if content == "whole" else checkpoint[: len(checkpoint) // 2])
    assert [result.unfinished for result in collect(plan, tmp_path)][:2] == ["interrupted", "not run"]
    launch = InProcess()
    Runner(all_runs([plan])[:2], tmp_path, [Resources()], launch=launch).work()
    resumed, _, anew, _ = launch.commands
    assert resumed[-1].startswith("--ckpt_path=")
    assert anew[-1] == "--overwrite=true"
    assert table(plan, tmp_path)[:2] == table(plan, undisturbed)[:2]
    shown = collect(plan, tmp_path)
    assert all(result.seconds > 0 for result in shown[:2])
    assert [result.unfinished for result in shown] == ["", "", "not run", "not run"]


def test_changing_one_variant_runs_that_one(four, base, tmp_path):
    """Another name is no other definition."""
    _, output = four
    variants = {"se": {"model.net.branch.at": "all"}, "plain": {}, "called otherwise": FOUR["plain"]}
    plan = make_plan(read_sweep(write_sweep(tmp_path, variants)), [*base, "--model.net.after.at=none"], [0])
    assert [is_finished(run.folder(output)) for row in plan.rows for run in row.runs] == [True, True, True]
    changed = make_plan(read_sweep(write_sweep(tmp_path, variants)), [*base, "--model.net.after.at=nl1"], [0])
    assert [is_finished(run.folder(output)) for row in changed.rows for run in row.runs] == [False, False, True]


def test_runs_that_differ_in_the_test_alone_are_trained_once(four, base, tmp_path):
    _, output = four
    settings = {**FOUR["plain"], "data.num_clips": 1, "data.protocol": "slowfast"}
    plan = make_plan(read_sweep(write_sweep(tmp_path, {"plain": FOUR["plain"], "one clip": settings})), base, [0])
    first, second = all_runs([plan])
    assert first.key != second.key and first.train_key == second.train_key
    launch = InProcess()
    Runner([first, second], output, [Resources()], launch=launch).work()
    assert [command[0] for command in launch.commands] == ["test"]
    assert not (second.folder(output) / "last.ckpt").exists()
    trained, tested = collect(plan, output)
    assert tested.scores["clip_top1"] == trained.scores["clip_top1"]
    assert (trained.views, tested.views) == ("3 x 1 views, uniform", "1 x 1 views, slowfast")
    assert f"one clip: trained once, in {first.folder(output).name}." in markdown(plan, [trained, tested])
    Runner([first, second], output, [Resources()], launch=launch).work()
    assert len(launch.commands) == 1


def test_a_hopeless_variant_is_given_up_and_goes_on_if_the_rule_is_gone(base, tmp_path):
    """As if the baseline had every video right after the first epoch."""
    sweep = read_sweep(write_sweep(tmp_path, {"plain": FOUR["plain"], "res4": FOUR["res4"]}))
    epochs = ["--trainer.max_epochs=3", "--trainer.check_val_every_n_epoch=1"]
    plan = make_plan(replace(sweep, stop=StopRule(1, 0.0)), [*base, *epochs], [0])
    baseline, variant = all_runs([plan])
    assert (baseline.stop, variant.stop, variant.baseline) == (None, StopRule(1, 0.0), baseline)
    folder = baseline.folder(tmp_path)
    folder.mkdir()
    (folder / "metrics.csv").write_text("epoch,step,val/clip_top1\n0,2,1.0\n")
    launch = InProcess()
    Runner([variant], tmp_path, [Resources()], launch=launch).work()
    assert [command[0] for command in launch.commands] == ["fit"]
    assert is_done(variant, tmp_path) and not is_finished(variant.folder(tmp_path))
    result = collect(plan, tmp_path)[1]
    assert result.unfinished.startswith("stopped after epoch 1, for its clip-level top-1 at epoch 1 was ")
    assert cells(plan, [result])["top-1 %"].tolist() == ["stopped"]

    (variant,) = all_runs([make_plan(sweep, [*base, *epochs], [0])])[1:]
    assert not is_done(variant, tmp_path)
    Runner([variant], tmp_path, [Resources()], launch=launch).work()
    assert [command[0] for command in launch.commands] == ["fit", "fit", "test"]
    assert launch.commands[1][-1].startswith("--ckpt_path=")
    assert read(variant.folder(tmp_path), "fit.json")["epochs"] == 3
    assert not (variant.folder(tmp_path) / "stopped.json").exists()


def test_a_variant_that_raises_leaves_the_others(base, tmp_path):
    variants = {"broken": {"model.init_from": "gone.ckpt"}, "plain": FOUR["plain"]}
    plan = make_plan(read_sweep(write_sweep(tmp_path, variants)), base, [0])
    reports = []

    def report() -> None:
        reports.append([result.unfinished for result in collect(plan, tmp_path)])

    Runner(all_runs([plan]), tmp_path, [Resources()], launch=InProcess(), after_each=report).work()
    failed = "failed: checkpoint gone.ckpt: no such file"
    assert reports == [["not run", ""], [failed, ""]]  # the baseline comes first
    assert f"broken: {failed}" in markdown(plan, collect(plan, tmp_path))

    again = InProcess()  # a later start tries the failed run again, and that alone
    Runner(all_runs([plan]), tmp_path, [Resources()], launch=again).work()
    assert len(again.commands) == 1


def test_the_error_of_a_command():
    assert find_error(["a", "nlvideo: data.train: no such file", "wandb: Find logs"]) == "data.train: no such file"
    assert find_error(["Traceback", "  in forward", "RuntimeError: out of memory", ""]) == "RuntimeError: out of memory"


def test_a_command_runs_in_a_process_with_its_share_of_the_machine(tmp_path):
    error = in_subprocess(["fly"], tmp_path / "log.txt", Resources(cores=1).environment(), shown=False)
    assert error.startswith("no command 'fly'")
    assert "no command 'fly'" in (tmp_path / "log.txt").read_text()


def cheap_runs(count: int) -> list[Run]:
    return [Run(f"{i:010}", f"run {i}", "runs", f"run{i}", (), 1.0, True) for i in range(count)]


def write_line(arguments, log: Path, environment, shown) -> str | None:
    """Stands for a command that takes a while: notes that it was run, and leaves what a test leaves."""
    folder = log.parent
    descriptor = os.open(folder.parent / "lines", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{arguments[0]} {folder.name} {os.getpid()}\n".encode())
    os.close(descriptor)
    time.sleep(0.02)
    if arguments[0] == "fit":
        write_json(folder / "fit.json", {})
    else:
        if folder.name.startswith("run3-"):
            return "it broke"
        write_json(folder / "test.json", {})
        (folder / "predictions.parquet").touch()
    return None


@pytest.mark.parametrize("num_runners", [2, 3])
def test_runners_of_one_folder_share_the_work_exactly_once(tmp_path, num_runners):
    """Processes that are started together; one run fails, and is not tried by the others."""
    runs, gate = cheap_runs(12), tmp_path / "go"
    children = []
    for _ in range(num_runners):
        child = os.fork()
        if child == 0:
            with contextlib.redirect_stdout(io.StringIO()):
                runner = Runner(runs, tmp_path, [Resources()], launch=write_line)
                while not gate.exists():
                    time.sleep(0.001)
                runner.work()
            finished = all(is_finished(run.folder(tmp_path)) for run in runs if run.slug != "run3")
            os._exit(0 if finished else 1)  # whoever ends sees all finished
        children.append(child)
    time.sleep(0.2)
    gate.touch()
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * num_runners
    lines = [line.split() for line in (tmp_path / "lines").read_text().splitlines()]
    expected = sorted(run.folder(tmp_path).name for run in runs)
    assert sorted(folder for command, folder, _ in lines if command == "fit") == expected
    assert sorted(folder for command, folder, _ in lines if command == "test") == expected
    assert len({process for *_, process in lines}) == num_runners  # all had a part in it
    assert failure(runs[3].folder(tmp_path)) == "it broke"


def test_fail_fast_starts_nothing_after_a_failure(tmp_path):
    runs = cheap_runs(6)
    Runner(runs, tmp_path, [Resources()], launch=write_line, fail_fast=True).work()
    assert [is_finished(run.folder(tmp_path)) for run in runs] == [True] * 3 + [False] * 3
    assert not runs[4].folder(tmp_path).exists()


def test_jobs_side_by_side_do_each_run_once(tmp_path):
    runs = cheap_runs(6)
    Runner(runs, tmp_path, [Resources(cores=1, shown=False)] * 3, launch=write_line).work()
    lines = (tmp_path / "lines").read_text().split()
    assert sorted(lines[1::3]) == sorted([run.folder(tmp_path).name for run in runs] * 2)


def test_a_run_that_another_process_has_is_locked(tmp_path):
    run = cheap_runs(1)[0]
    with try_lock(run.lock_file(tmp_path)) as free:
        assert free
        assert run_one(run, tmp_path, Resources(), write_line, None) == "locked"
    assert run_one(run, tmp_path, Resources(), write_line, None) == "done"
    assert run_one(run, tmp_path, Resources(), write_line, None) == "finished"


def test_a_training_that_outlives_its_killed_runner_is_not_joined_by_a_second_one(tmp_path):
    run = cheap_runs(1)[0]
    with run_lock(run.folder(tmp_path)):  # as `nlvideo fit` holds it
        assert is_running(run, tmp_path)
        assert run_one(run, tmp_path, Resources(), write_line, None) == "locked"
    assert not is_running(run, tmp_path)
    assert run_one(run, tmp_path, Resources(), write_line, None) == "done"


def test_a_run_whose_training_did_not_finish_does_not_count(tmp_path):
    folder = cheap_runs(1)[0].folder(tmp_path)
    folder.mkdir()
    write_json(folder / "test.json", {})
    (folder / "predictions.parquet").touch()
    assert not is_finished(folder)  # without fit.json, which is written after the final checkpoint
    write_json(folder / "fit.json", {})
    assert is_finished(folder)
