"""What a run was made with: versions, device and most memory, which its folder records."""

import os
import platform
import resource
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import nlvideo

PACKAGES = ("torch", "torchvision", "lightning", "numpy", "decord", "av")  # numbers can depend on them
KILOBYTES = 1 if sys.platform == "darwin" else 1024  # unit of ru_maxrss


def environment(device: torch.device, num_processes: int) -> dict[str, Any]:
    """Return versions, device, most memory and number of processes, as fit.json, validate.json and test.json say them.

    Args:
        device: of this process.
        num_processes: that share the work.
    """
    return {
        "versions": {"nlvideo": nlvideo.__version__, "python": platform.python_version(), **_installed()},
        "system": platform.platform(),
        "device": device_name(device),
        "cores": os.cpu_count(),
        "processes": num_processes,
        "peak_GB": peak_bytes(device) / 1e9,
    }


def _installed() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # decord2 stands in for decord on some systems
            continue
    return found


def device_name(device: torch.device) -> str:
    """Return the name of a GPU or, on the CPU, of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def peak_bytes(device: torch.device) -> int:
    """Return the most memory so far, of tensors on a GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTES
