"""Processes of their own: ranks that talk over gloo, and command lines that a test stops or kills.

They are forked from a server that has imported nlvideo once, so that one costs milliseconds and not seconds. What runs
in them has to be found by name: a function at the top of a test file.
"""

import multiprocessing
import os
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only

from nlvideo.__main__ import main

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["nlvideo.cli", "tests.distributed"])


def run_ranks(call: Callable, *args: Any, num_ranks: int = 2, seconds: float = 60.0) -> list[Any]:
    """What ``call(*args)`` returns in each of `num_ranks` processes of one gloo group, by rank.

    Inside, `torch.distributed` is ready, and a Trainer with ``accelerator="cpu", strategy="ddp"`` and as many devices
    takes the group as it is. Fails with the trace of the first process that does.
    """
    with tempfile.TemporaryDirectory() as folder:
        results = [Path(folder) / f"{rank}.pt" for rank in range(num_ranks)]
        job = Job(_call_and_save, (call, args), num_ranks=num_ranks, each=[(path,) for path in results])
        statuses = job.wait(seconds)
        assert statuses == [0] * num_ranks, f"exit statuses {statuses}\n{job.output()}"
        return [torch.load(path, weights_only=False) for path in results]


def start_nlvideo(
    arguments: Sequence[str], *, num_ranks: int = 1, strategy: str = "ddp", before: Callable | None = None
) -> "Job":
    """``nlvideo ARGUMENTS``, as torchrun would start it where there are several ranks.

    Args:
        before: called first in each process: to put something in the place of what the test cannot have.
    """
    several = [f"--trainer.strategy={strategy}", f"--trainer.devices={num_ranks}"] if num_ranks > 1 else []
    cpu = ["--trainer.accelerator=cpu"]
    return Job(_command, ([*arguments, *cpu, *several], before), num_ranks=num_ranks)


class Job:
    """Processes, started. `pids` are theirs, by rank.

    Args:
        each: arguments that are each rank's own, put before the rest.
    """

    def __init__(self, call: Callable, args: tuple, *, num_ranks: int, each: Sequence[tuple] | None = None):
        descriptor, self._log = tempfile.mkstemp(suffix=".log")
        os.close(descriptor)
        group = _group(num_ranks)
        self._processes = [
            CONTEXT.Process(
                target=_run,
                args=(call, (*(each[rank] if each else ()), *args), self._log, group and {**group, **_rank(rank)}),
            )
            for rank in range(num_ranks)
        ]
        for process in self._processes:
            process.start()
        self.pids = [process.pid for process in self._processes]

    def wait(self, seconds: float = 60.0) -> list[int]:
        """The exit statuses; minus the signal's number where one killed the process. Who is late is killed: -9."""
        late = time.monotonic() + seconds
        for process in self._processes:
            process.join(max(late - time.monotonic(), 0))
        for process in self._processes:
            if process.is_alive():
                process.kill()
                process.join()
        return [process.exitcode for process in self._processes]

    def wait_until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        late = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < late, f"did not come about; exit statuses {self.wait(0)}\n{self.output()}"
            time.sleep(0.01)

    def output(self) -> str:
        """stdout and stderr of all of them so far."""
        return Path(self._log).read_text()


def _group(num_ranks: int) -> dict[str, str]:
    """What torchrun puts into the environment of all ranks; nothing for a single one."""
    if num_ranks == 1:
        return {}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(num_ranks),
        "LOCAL_WORLD_SIZE": str(num_ranks),
        "GROUP_RANK": "0",
        "TORCHELASTIC_RUN_ID": "tests",
    }


def _rank(rank: int) -> dict[str, str]:
    return {"RANK": str(rank), "LOCAL_RANK": str(rank)}


def _run(call: Callable, args: tuple, log: str, environment: dict[str, str]) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    os.environ.update(environment)
    rank_zero_only.rank = int(environment.get("RANK", 0))  # Lightning reads it where it is imported: in the server
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # of readers, as it is outside of this server
    try:
        status = call(*args)
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status or 0)  # as a crash would: what is left of threads and groups holds up nobody


def _call_and_save(path: Path, call: Callable, args: tuple) -> None:
    if "WORLD_SIZE" in os.environ:
        torch.distributed.init_process_group("gloo")
    torch.save(call(*args), path)


def _command(arguments: list[str], before: Callable | None) -> int:
    if before is not None:
        before()
    return main(arguments)
