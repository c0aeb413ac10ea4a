"""Training and testing of what is left, each run once, whoever else works on the same folder."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from nlvideo.ablation.launch import Resources, in_subprocess
from nlvideo.ablation.runs import (
    ATTEMPT,
    FAILURE,
    TRAINED_IN,
    Run,
    failure_time,
    is_done,
    is_in_training,
    is_interrupted,
    read,
    stopped,
    trained_folder,
    try_lock,
)
from nlvideo.configuration import configuration
from nlvideo.console import console
from nlvideo.evaluation import progress
from nlvideo.files import write_json, write_text
from nlvideo.parser import to_yaml
from nlvideo.training.stop_if_behind import STOPPED, StopIfBehind, describe_stop

POLL_SECONDS = 2.0

# (arguments of nlvideo, the run's log, variables to set, whether to print epochs) -> the error in one line, or None
Launch = Callable[[Sequence[str], Path, dict[str, str], bool], str | None]

# done: now, by us. finished: before. failed: now, or by another runner since we started. locked: another has it.
Outcome = Literal["done", "finished", "failed", "locked"]


def run_one(run: Run, output: Path, resources: Resources, launch: Launch, earlier_failure: int | None) -> Outcome:
    """Train and test a run, from where an earlier attempt got to, unless another process is at it.

    Args:
        run: what to run.
        output: the sweep's folder.
        resources: the part of the machine for it.
        launch: starts a command.
        earlier_failure: time of the failure (see `failure_time`) after which the run is tried again: one of before
            this sweep was started, not one that another runner had a moment ago.
    """
    with try_lock(run.lock_file(output)) as is_free:
        folder = run.folder(output)
        if not is_free or is_in_training(folder):  # a training may outlive its killed runner
            return "locked"
        if is_done(run, output):
            return "finished"
        if failure_time(folder) not in (None, earlier_failure):
            return "failed"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILURE).unlink(missing_ok=True)
        environment = {**resources.environment(), "WANDB_RUN_GROUP": run.group}
        for arguments in _commands(run, output, resources):
            error = launch(arguments, folder / "log.txt", environment, resources.shown)
            if error is not None:
                write_json(folder / FAILURE, {"error": error, "command": ["nlvideo", *arguments]})
                return "failed"
        return "done"


def _commands(run: Run, output: Path, resources: Resources) -> Iterator[list[str]]:
    folder = run.folder(output)
    write_json(folder / ATTEMPT, {"label": run.label, "arguments": run.arguments})
    trained = trained_folder(run, output)
    if trained is None:
        yield _fit(run, folder, resources)
        if reason := stopped(run, output):
            console().print(f"{run.label} is stopped {describe_stop(reason)}", highlight=False)
            return
        trained = folder
    elif trained != folder:
        _adopt_training(run, trained, folder)
    resumed = ["--resume"] if progress.progress_files(folder) else []
    here = [f"--runs_dir={output}", f"--name={folder.name}"]
    # One W&B run for each of ours, the training; what the test gives is in the sweep's table.
    test = ["test", "-c", str(folder / "config.yaml"), f"--ckpt_path={trained / 'last.ckpt'}", *here]
    yield [*test, "--trainer.logger=false", *resumed]


def _fit(run: Run, folder: Path, resources: Resources) -> list[str]:
    if (folder / STOPPED).is_file():  # by a rule that no longer holds: the training goes on
        for name in (STOPPED, "fit.json"):
            (folder / name).unlink(missing_ok=True)
    workers = [f"--data.num_workers={resources.cores}"] if resources.cores and not run.sets_workers else []
    stop = []
    if run.stop and run.baseline:
        prefix, reference = "--trainer.callbacks", run.baseline.folder(folder.parent) / "metrics.csv"
        stop = [f"{prefix}+={StopIfBehind.__module__}.{StopIfBehind.__name__}", f"{prefix}.reference={reference}"]
        stop += [f"{prefix}.after_epochs={run.stop.after_epochs}", f"{prefix}.below={run.stop.below_baseline}"]
    start = [f"--ckpt_path={folder / 'last.ckpt'}"] if is_interrupted(folder) else ["--overwrite=true"]
    return ["fit", *run.arguments, *workers, *stop, f"--runs_dir={folder.parent}", f"--name={folder.name}", *start]


def _adopt_training(run: Run, trained: Path, folder: Path) -> None:
    """Write into a run's folder what a training leaves there, but checkpoints, from another run's with the same one."""
    config = configuration([*run.arguments, f"--runs_dir={folder.parent}", f"--name={folder.name}"])
    write_text(folder / "config.yaml", to_yaml(config))
    write_text(folder / "metrics.csv", (trained / "metrics.csv").read_text())
    write_json(folder / "fit.json", {**read(trained, "fit.json"), TRAINED_IN: trained.name})


class Runner:
    """Works through runs, with one or several jobs side by side.

    A run that another process has is asked for again later. When `work` returns, all are finished or failed.

    Args:
        runs: what is to do.
        output: the sweep's folder.
        resources: one for each job.
        launch: starts a command.
        fail_fast: start no run after one has failed.
        after_each: called after each run that was done or failed here, by one thread at a time.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        output: Path,
        resources: Sequence[Resources],
        *,
        launch: Launch = in_subprocess,
        fail_fast: bool = False,
        after_each: Callable[[], object] = lambda: None,
    ):
        self.output = output
        self.resources = resources
        self.launch = launch
        self.fail_fast = fail_fast
        self.after_each = after_each
        self.waiting = deque(runs)
        self.number = {run.key: f"{i + 1} of {len(runs)}" for i, run in enumerate(runs)}
        self.earlier_failures = {run.key: failure_time(run.folder(output)) for run in runs}
        self.locked: set[str] = set()  # keys of runs that others had since the last pause
        self.told_to_wait = False
        self.interrupted = False
        self.stopped = threading.Event()
        self.reporting = threading.Lock()

    def work(self) -> None:
        """Run until nothing is left."""
        if len(self.resources) == 1:
            self._work(self.resources[0])
            return
        with ThreadPoolExecutor(len(self.resources)) as pool:
            try:
                list(pool.map(self._work, self.resources))
            except KeyboardInterrupt:
                self.interrupted = True  # the commands got the signal too, and end
                raise
            finally:
                self.stopped.set()

    def _work(self, resources: Resources) -> None:
        while not self.stopped.is_set():
            try:
                run = self.waiting.popleft()
            except IndexError:
                return
            outcome = run_one(run, self.output, resources, self._announced(run), self.earlier_failures[run.key])
            if outcome == "locked":
                if run.key in self.locked:  # as all that are left, which were tried in between
                    self._pause(run)
                self.locked.add(run.key)
                self.waiting.append(run)
            elif outcome in ("done", "failed"):
                if outcome == "failed" and self.fail_fast:
                    self.stopped.set()
                with self.reporting:
                    self.after_each()

    def _announced(self, run: Run) -> Launch:
        def launch(arguments: Sequence[str], log: Path, environment: dict[str, str], shown: bool) -> str | None:
            what = "trains" if arguments[0] == "fit" else "is tested"
            devices = environment.get("CUDA_VISIBLE_DEVICES")
            where = f" on device {devices}" if devices else ""
            console().print(f"{run.label} {what}{where} ({self.number[run.key]})", style="bold")
            error = self.launch(arguments, log, environment, shown)
            if self.interrupted:
                raise KeyboardInterrupt  # no failure of the run
            if error is not None:
                console().print(f"{run.label} failed: {error}; its output: {log}", style="red")
            return error

        return launch

    def _pause(self, run: Run) -> None:
        if not self.told_to_wait:
            self.told_to_wait = True
            console().print(f"waiting for runs of other processes, such as {run.label}")
        time.sleep(POLL_SECONDS)
        self.locked.clear()
