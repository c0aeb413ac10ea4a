"""Time and peak memory of calls, and the rows that they make."""

import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from itertools import accumulate
from pathlib import Path
from statistics import median

import pandas as pd
import torch
from torch.profiler import ProfilerActivity, profile

Call = Callable[[], object]


def median_seconds(calls: list[Call], *, repeats: int, device: str, cpu_time: bool = False) -> list[float]:
    """Return the median of each, measured in turns, so that other work on the machine falls on all of them alike."""
    clock = time.process_time if cpu_time else time.perf_counter
    if not calls:
        return []
    for call in calls:
        call()
    rounds = [[_seconds(call, device, clock) for call in calls] for _ in range(repeats)]
    return [median(seconds) for seconds in zip(*rounds, strict=True)]


def peak_bytes(call: Call, *, device: str) -> int:
    """Return the most bytes alive at once of those allocated during the call: results count, inputs do not."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    return max(accumulate(allocations(call)), default=0)


def allocations(call: Call) -> list[int]:
    """Return every allocation of the call on the CPU in order: bytes taken, or given back as a negative number."""
    os.environ["KINETO_LOG_LEVEL"] = "99"  # or the profiler prints its own progress
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    memory = sorted((event for event in events if event["name"] == "[memory]"), key=lambda event: event["ts"])
    return [event["args"]["Bytes"] for event in memory]


def device_name(device: str) -> str:
    """Return the name of the GPU, or of the CPU and what PyTorch uses of it."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")  # Linux only
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line for line in lines if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.processor()
    return f"{model}, {torch.backends.cpu.get_cpu_capability()}"


def write_rows(rows: list[dict], output: Path | None, device: str, *, cpu_time: bool = False, digits: int = 2) -> None:
    """Print rows, and add them to a CSV with the command, commit, device and date."""
    table = pd.DataFrame(rows)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    about = {"clock": "CPU time" if cpu_time else "wall clock", "threads": torch.get_num_threads(), "commit": commit}
    about |= {"device": device_name(device), "torch": torch.__version__, "date": date.today().isoformat()}
    print(*about.values(), sep=", ")
    print(table.to_string(index=False, na_rep="", float_format=f"{{:,.{digits}f}}".format), flush=True)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        before = [pd.read_csv(output)] if output.exists() else []
        new = table.assign(**about, command=shlex.join(["python", *sys.argv]))
        pd.concat([*before, new]).to_csv(output, index=False, float_format=f"%.{digits}f")


def _seconds(call: Call, device: str, clock: Callable[[], float]) -> float:
    _wait(device)
    start = clock()
    call()
    _wait(device)
    return clock() - start


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
