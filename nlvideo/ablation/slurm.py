"""Runs of a sweep as jobs of a SLURM cluster, through submitit (an optional dependency)."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from nlvideo.ablation.execute import run_one
from nlvideo.ablation.launch import Resources, in_subprocess
from nlvideo.ablation.runs import Run, failure_time
from nlvideo.console import console


def run_on_slurm(
    runs: Sequence[Run],
    output: Path,
    settings: dict[str, Any],
    *,
    after_each: Callable[[], None],
    cluster: str = "slurm",
) -> None:
    """Submit a job for each run, as one array, and wait for all.

    A job that the cluster ends leaves its run unfinished; the same command, given again, goes on with it.

    Args:
        runs: those that are not finished.
        output: the sweep's folder, which all nodes share; submitit's files go to its folder slurm.
        settings: of a job, as submitit's AutoExecutor takes them: timeout_min, gpus_per_node, slurm_partition, ..
        after_each: called here after each job.
        cluster: as submitit knows it; ``local`` runs the jobs as processes of this machine.

    Raises:
        ValueError: submitit is not installed, there is no such cluster here, or it knows no such setting.
    """
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise ValueError("--launcher slurm needs submitit: pip install 'nlvideo[slurm]'") from error
    try:
        executor = submitit.AutoExecutor(folder=output / "slurm", cluster=cluster)
        executor.update_parameters(name=output.name, **settings)
    except (RuntimeError, NameError, TypeError, AssertionError) as error:  # how submitit refuses
        raise ValueError(f"--launcher {cluster}: {' '.join(str(error).split())[:400]}") from error
    jobs = {}
    with executor.batch():
        for run in runs:
            earlier_failure = failure_time(run.folder(output))
            work = partial(run_one, run, output, Resources(shown=False), in_subprocess, earlier_failure)
            jobs[executor.submit(work)] = run
    for job in submitit.helpers.as_completed(list(jobs)):
        error = job.exception()
        result = f"ended before its time: {' '.join(str(error).split())[:400]}" if error else job.result()
        console().print(f"{jobs[job].label}: {result} (job {job.job_id})")
        after_each()


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Return the settings of ``timeout_min=600`` and the like.

    Raises:
        ValueError: one is not of that form.
    """
    for setting in settings:
        if not all(setting.partition("=")[::2]):
            raise ValueError(f"--slurm {setting!r}: expected KEY=VALUE such as timeout_min=600")
    return {key: yaml.safe_load(value) for key, _, value in (setting.partition("=") for setting in settings)}
