"""Exit status and last line of a command: an exception that users can mend, or need to know of, is one line.

0     done, or nothing left to do
1     failed
2     a wrong command line
128+n stopped by signal n, with a checkpoint: 130 by Ctrl-C, 143 by SIGTERM, 138 by SIGUSR1, 140 by SIGUSR2
"""

import functools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

# In messages of a process group that has lost one of its processes: gloo's, then NCCL's.
LOST = re.compile(r"gloo|Connection (closed|reset) by|NCCL|ProcessGroup|Timed out waiting|TCPStore|Broken pipe")


class AlreadyFinished(Exception):  # noqa: N818, it is no error
    """Raised if a run has nothing left to train."""


class Stopped(Exception):  # noqa: N818, it is no error
    """Raised if signal `signum` has stopped a run."""

    def __init__(self, signum: int, message: str):
        super().__init__(message)
        self.signum = signum


class ExitCode(NamedTuple):
    status: int
    line: str


def exit_code(error: Exception) -> ExitCode | None:
    """Return how a command ends with this error, or None if it is a bug, which shows its trace."""
    message = str(error)
    if isinstance(error, AlreadyFinished | Stopped):
        from lightning.pytorch.utilities import rank_zero_only  # late: `nlvideo --help` needs no Lightning

        if rank_zero_only.rank:  # the first process speaks for all
            return ExitCode(0, "")
        return ExitCode(0 if isinstance(error, AlreadyFinished) else 128 + error.signum, message)
    if isinstance(error, ValueError | OSError) or type(error).__name__ == "MisconfigurationException":  # Lightning's
        return ExitCode(1, _last_word(message))
    if isinstance(error, RuntimeError) and message.startswith("DataLoader"):
        return ExitCode(1, _of_loader(message))
    if isinstance(error, RuntimeError) and LOST.search(message):
        first = message.strip().splitlines()[0]
        return ExitCode(1, f"another process of this run has ended or hangs, and says why itself ({first})")
    return None


def _last_word(message: str) -> str:
    """Return a message without the stack trace that a DataLoader's worker puts before it."""
    if "Original Traceback" in message:
        return message.strip().rpartition("\n")[2].partition(": ")[2]
    return message


def _of_loader(message: str) -> str:
    words = " ".join(message.split())
    if "timed out" in words:
        return f"{words}: a process that reads videos hangs, as on a dead network disk; see data.decode_timeout"
    return (
        f"{words.rstrip('. ')}: a process that reads videos died, most often killed for want of memory; set "
        "data.num_workers or data.batch_size lower, or look for a video that crashes it: tools/check_videos.py"
    )


def script(main: Callable[[], int | None]) -> Callable[[], int]:
    """Make the main function of a script in tools/ return its exit status, and print an error of users as one line."""

    @functools.wraps(main)
    def run() -> int:
        name = Path(sys.argv[0]).stem
        try:
            return main() or 0
        except (ValueError, OSError, NotImplementedError) as error:  # the last from filelock: no locks on this disk
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(f"{name}: interrupted; the same command goes on from here, or starts afresh", file=sys.stderr)
            return 130

    return run
