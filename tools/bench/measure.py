"""Time and peak memory of a call. Memory is counted at the allocator, so nothing of it depends on the clock."""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch.profiler import ProfilerActivity, profile


def median_seconds(call: Callable[[], object], *, repeats: int, device: str) -> float:
    call()
    return median(_seconds(call, device) for _ in range(repeats))


def peak_bytes(call: Callable[[], object], *, device: str) -> int:
    """Bytes alive at once that were allocated during the call, results included, inputs not."""
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


def allocations(call: Callable[[], object]) -> list[int]:
    """Every allocation of the call on the CPU in order: bytes taken, or given back as a negative number."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    memory = sorted((e for e in events if e["name"] == "[memory]"), key=lambda e: e["ts"])
    return [e["args"]["Bytes"] for e in memory]


def _seconds(call: Callable[[], object], device: str) -> float:
    _wait(device)
    start = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
