"""Runs what is to do, each run once, whatever else works on the same folder; goes on where it was stopped."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from nlvideo.ablation.claims import claim, holder
from nlvideo.ablation.launch import Launch, Resources, in_subprocess
from nlvideo.ablation.runs import ATTEMPT, FAILURE, Run, failed_at, is_finished, is_interrupted, is_trained
from nlvideo.console import console
from nlvideo.evaluation.progress import progress_files
from nlvideo.files import write_json

POLL_SECONDS = 2.0
PLAIN = {"highlight": False, "markup": False}  # names may have brackets

# done: now, by us. finished: before. failed: now, or by another runner since we started. taken: another has it.
Outcome = Literal["done", "finished", "failed", "locked"]


def run_one(run: Run, output: Path, resource: Resources, launch: Launch, forgiven: int | None) -> Outcome:
    """Trains and tests, from where an earlier attempt got to, unless another process is at it.

    Args:
        run: what to run.
        output: the sweep's folder.
        resource: the part of the machine for it.
        launch: starts a command.
        forgiven: the failure (see `failed_at`) after which it is tried again: an earlier sweep's, not one that
            another runner of this sweep had a moment ago.
    """
    with claim(run.claim_file(output)) as claimed:
        if claimed is None:
            return "locked"
        folder = run.folder(output)
        if is_finished(folder):
            return "finished"
        if failed_at(folder) not in (None, forgiven):
            return "failed"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILURE).unlink(missing_ok=True)
        for arguments in _commands(run, folder, resource):
            error = launch(arguments, folder / "log.txt", resource, claimed)
            if error is not None:
                write_json(folder / FAILURE, {"error": error, "command": ["nlvideo", *arguments]})
                return "failed"
        return "done"


def _commands(run: Run, folder: Path, resource: Resources) -> Iterator[list[str]]:
    last = folder / "last.ckpt"
    if not is_trained(folder):
        resumed = is_interrupted(folder)
        write_json(folder / ATTEMPT, {"label": run.label, "arguments": run.arguments})
        workers = [f"--data.num_workers={resource.cores}"] if resource.cores and not run.sets_workers else []
        start = [f"--ckpt_path={last}"] if resumed else ["--overwrite=true"]
        yield ["fit", *run.arguments, *workers, f"--runs_dir={folder.parent}", f"--name={folder.name}", *start]
    resumed = ["--resume"] if progress_files(folder) else []
    # W&B has one run for each of ours: the training; what the test gives is in the sweep's table.
    yield ["test", "-c", str(folder / "config.yaml"), f"--ckpt_path={last}", "--trainer.logger=false", *resumed]


class Runner:
    """Works through runs, on one resource or on several side by side.

    A run that another process has is asked for again later: when all is done, all is finished or failed, whoever
    did it.

    Args:
        runs: what is to do.
        output: the sweep's folder.
        resources: parts of the machine.
        launch: starts a command.
        fail_fast: no run is started after one has failed.
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
        after_each: Callable[[], None] = lambda: None,
    ):
        self.output = output
        self.resources = resources
        self.launch = launch
        self.fail_fast = fail_fast
        self.after_each = after_each
        self.waiting = deque(runs)
        self.number = {run.key: f"{i + 1} of {len(runs)}" for i, run in enumerate(runs)}
        self.forgiven = {run.key: failed_at(run.folder(output)) for run in runs}
        self.taken: set[str] = set()  # keys asked for in vain since the last pause
        self.named = False
        self.interrupted = False
        self.stopped = threading.Event()
        self.reporting = threading.Lock()

    def work(self) -> None:
        """Until nothing is left.

        Raises:
            ValueError: the folder's file system has no locks.
        """
        if len(self.resources) == 1:
            self._work(self.resources[0])
            return
        with ThreadPoolExecutor(len(self.resources)) as pool:
            try:
                for future in [pool.submit(self._work, resource) for resource in self.resources]:
                    future.result()
            except KeyboardInterrupt:
                self.interrupted = True  # the commands got the signal too, and end
                raise
            finally:
                self.stopped.set()

    def _work(self, resource: Resources) -> None:
        while not self.stopped.is_set():
            try:
                run = self.waiting.popleft()
            except IndexError:
                return
            outcome = run_one(run, self.output, resource, self._announced(run), self.forgiven[run.key])
            if outcome == "locked":
                if run.key in self.taken:  # as all the others that are left: they were asked for in between
                    self._pause(run)
                self.taken.add(run.key)
                self.waiting.append(run)
            elif outcome in ("done", "failed"):
                if outcome == "failed" and self.fail_fast:
                    self.stopped.set()
                with self.reporting:
                    self.after_each()

    def _announced(self, run: Run) -> Launch:
        def launch(arguments: Sequence[str], log: Path, resource: Resources, kept: int) -> str | None:
            what = "trains" if arguments[0] == "fit" else "is tested"
            where = f" on device {resource.devices}" if resource.devices else ""
            console().print(f"{run.label} {what}{where} ({self.number[run.key]})", style="bold", **PLAIN)
            error = self.launch(arguments, log, resource, kept)
            if self.interrupted:
                raise KeyboardInterrupt  # no failure of the run
            if error is not None:
                console().print(f"{run.label} failed: {error}; its output: {log}", style="red", **PLAIN)
            return error

        return launch

    def _pause(self, run: Run) -> None:
        if not self.named:
            self.named = True
            who = holder(run.claim_file(self.output))
            console().print(f"waiting for what other runners have, such as {run.label} ({who})", **PLAIN)
        time.sleep(POLL_SECONDS)
        self.taken.clear()
