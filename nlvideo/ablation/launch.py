"""How a command of a run is started, and with which part of the machine."""

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

LAST_LINES = 100  # of a command's output, in which its error is looked for


@dataclass(frozen=True)
class Resources:
    """The part of the machine that one of several jobs may use.

    Attributes:
        devices: GPUs, as in CUDA_VISIBLE_DEVICES; None for all.
        cores: CPU cores; None for all.
        shown: print a training's epochs; the whole output of a command is in the run's log alone.
    """

    devices: str | None = None
    cores: int | None = None
    shown: bool = True

    def environment(self) -> dict[str, str]:
        """Return the variables to set for a command."""
        set_for = {"CUDA_VISIBLE_DEVICES": self.devices, "OMP_NUM_THREADS": self.cores, "PYTHONUNBUFFERED": 1}
        return {name: str(value) for name, value in set_for.items() if value is not None}


def make_resources(jobs: int | None, devices: Sequence[str]) -> list[Resources]:
    """Divide devices and CPU cores among jobs; by default there is one job for each device.

    Raises:
        ValueError: fewer than one job.
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"--jobs {jobs}: expected at least 1")
    jobs = jobs or max(len(devices), 1)
    if jobs == 1:
        return [Resources(",".join(devices) or None)]
    cores = max(len(os.sched_getaffinity(0)) // jobs, 1)
    shares = [",".join(devices[i::jobs]) or devices[i % len(devices)] if devices else None for i in range(jobs)]
    return [Resources(share, cores, shown=False) for share in shares]


def in_subprocess(arguments: Sequence[str], log: Path, environment: dict[str, str], shown: bool) -> str | None:
    """Run `nlvideo` with these arguments and append its output to a file.

    Args:
        environment: variables to set besides those of this process.
        shown: print the lines of epochs.

    Returns:
        The error in one line; None if there is none.
    """
    last = deque(maxlen=LAST_LINES)
    with (
        log.open("a") as file,
        subprocess.Popen(
            [sys.executable, "-m", "nlvideo", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **environment},
        ) as process,
    ):
        for line in process.stdout:
            file.write(line)
            file.flush()
            last.append(line.strip())
            if shown and line.startswith("epoch "):
                print(f"  {line}", end="", flush=True)
    if process.returncode == 0:
        return None
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        return f"nlvideo {arguments[0]} was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return find_error(last)


def find_error(lines: Iterable[str]) -> str:
    """Return the error in a failed command's output: nlvideo's own line, or the last one of a stack trace."""
    lines = [line for line in lines if line and not line.startswith("wandb:")]
    ours = [line.removeprefix("nlvideo: ") for line in lines if line.startswith("nlvideo: ")]
    return (ours or lines or ["no output"])[-1]
