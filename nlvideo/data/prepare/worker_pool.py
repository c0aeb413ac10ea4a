"""Call a function on many items in processes of their own: a crash or a hang costs one item, not the run."""

import math
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import Any


@dataclass(frozen=True)
class WorkerFailure:
    """In place of a result: the process died or was stopped, as `message` says in one line."""

    message: str


def run_each(
    call: Callable[[Any], Any], items: Iterable[Any], *, workers: int, timeout: float
) -> Iterator[tuple[Any, Any]]:
    """Yield (item, call(item)) in the order in which they finish. The result is a WorkerFailure if the call crashed its
    process or took more than `timeout` seconds.

    Processes are spawned: `call` and the items are pickled, and a script needs ``if __name__ == "__main__":``.
    """
    todo = iter(items)
    idle: list[_Worker] = []
    busy: dict[Connection, tuple[_Worker, Any, float]] = {}  # with the item and the time at which it is late
    try:
        while True:
            for item in islice(todo, workers - len(busy)):
                worker = idle.pop() if idle else _Worker(call)
                worker.connection.send(item)
                busy[worker.connection] = worker, item, time.monotonic() + timeout if worker.started else math.inf
            if not busy:
                return
            soonest = min(late for _, _, late in busy.values())
            ready = wait(list(busy), None if soonest == math.inf else max(soonest - time.monotonic(), 0))
            overdue = [connection for connection, (_, _, late) in busy.items() if late <= time.monotonic()]
            for connection in ready or overdue:
                worker, item, _ = busy[connection]
                try:
                    result = connection.recv() if ready else WorkerFailure(f"took longer than {timeout:g} seconds")
                except EOFError:
                    worker.process.join()
                    result = WorkerFailure(f"crashed ({_cause(worker.process.exitcode)})")
                if result is _Worker:  # it has started, which may take as long as it likes
                    worker.started = True
                    busy[connection] = worker, item, time.monotonic() + timeout
                    continue
                del busy[connection]
                if isinstance(result, WorkerFailure):
                    worker.stop()
                else:
                    idle.append(worker)
                yield item, result
    finally:
        for worker in [*idle, *(worker for worker, _, _ in busy.values())]:
            worker.stop()


class _Worker:
    started = False

    def __init__(self, call: Callable[[Any], Any]):
        # Spawned, not forked: the caller may have threads running (torch has), and those do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, call), daemon=True)
        self.process.start()
        theirs.close()  # so that its end is noticed here

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(connection: Connection, call: Callable[[Any], Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # interrupts are the parent's
    connection.send(_Worker)  # ready
    while True:
        connection.send(call(connection.recv()))


def _cause(exit_code: int | None) -> str:
    return signal.Signals(-exit_code).name if exit_code and exit_code < 0 else f"exit code {exit_code}"
