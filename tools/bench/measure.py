"""Time and peak memory of a call. Memory is counted at the allocator, so none of it depends on the clock."""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch.profiler import ProfilerActivity, profile

Call = Callable[[], object]


def median_seconds(calls: list[Call], *, repeats: int, device: str) -> list[float]:
    """In turns, so that whatever else the machine does falls on all of them alike."""
    for call in calls:
        call()
    rounds = [[_seconds(call, device) for call in calls] for _ in range(repeats)]
    return [median(seconds) for seconds in zip(*rounds, strict=True)]


def peak_bytes(call: Call, *, device: str) -> int:
    """Most bytes alive at once of those allocated during the call: results count, inputs do not."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    alive, peak = 0, 0
    for num_bytes in allocations(call):
        alive += num_bytes
        peak = max(peak, alive)
    return peak


def allocations(call: Call) -> list[int]:
    """Every allocation of the call on the CPU in order: bytes taken, or given back as a negative number."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    memory = sorted((event for event in events if event["name"] == "[memory]"), key=lambda event: event["ts"])
    return [event["args"]["Bytes"] for event in memory]


def _seconds(call: Call, device: str) -> float:
    _wait(device)
    start = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
