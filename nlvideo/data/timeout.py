"""A time limit for calls that may never come back, as decoders do now and then."""

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def run_with_timeout(seconds: float, call: Callable[[], Result]) -> Result:
    """What `call` returns or raises.

    A call that takes longer is left behind in its thread, which Python cannot stop but which does not keep the process
    alive; its memory stays taken.

    Raises:
        TimeoutError: it took longer.
    """
    outcome: list[Result | BaseException] = []

    def run() -> None:
        try:
            outcome.extend([call(), True])
        except BaseException as error:  # handed to the caller, whatever it is
            outcome.extend([error, False])

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if len(outcome) < 2:
        raise TimeoutError(f"took longer than {seconds:g} seconds")
    result, returned = outcome
    if not returned:
        raise result
    return result
