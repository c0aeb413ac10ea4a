import os
import signal
import time

from nlvideo.training.signals import StopSignals
from tests.distributed import Job


def note_signals() -> int:
    signals = StopSignals()
    signals.listen()
    reader = os.fork()
    while True:  # the reading process too
        time.sleep(0.02)
        if reader and signals.received:
            print(f"received {signals.received}", flush=True)
            os.kill(reader, signal.SIGINT)  # as a terminal sends it to all
            time.sleep(0.2)
            assert os.waitpid(reader, os.WNOHANG) == (0, 0)
            os.kill(reader, signal.SIGTERM)
            assert os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1]) == -signal.SIGTERM
            print("the reader is gone", flush=True)
            reader = 0


def test_the_first_interrupt_is_noted_and_the_second_ends_at_once():
    job = Job(note_signals, (), num_ranks=1)
    time.sleep(0.3)
    os.kill(job.pids[0], signal.SIGINT)
    job.wait_until(lambda: "the reader is gone" in job.output(), 20)
    assert "received 2" in job.output()
    os.kill(job.pids[0], signal.SIGINT)
    assert job.wait() == [-signal.SIGINT]
