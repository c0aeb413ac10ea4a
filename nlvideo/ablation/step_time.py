"""Measured seconds of a training step, kept in a file: a plan that rests on them is the same each time."""

import hashlib
import json
import time
from pathlib import Path

import torch
from filelock import FileLock

from nlvideo.checkpoint import build
from nlvideo.cost.tables import NetworkSpec
from nlvideo.files import write_json

STEPS, MOST_CLIPS_ON_CPU = 5, 8


class StepTimes:
    """Measures each network once: of several processes, whoever comes first.

    Args:
        path: JSON file of what was measured, and on what device.
    """

    def __init__(self, path: Path):
        self.path = path

    def __call__(self, spec: NetworkSpec) -> float:
        """Return the seconds of a training step of a network, from the file or measured now and on this device."""
        settings = json.dumps([spec.net.config(), spec.clip, spec.batch], sort_keys=True)
        key = hashlib.sha256(settings.encode()).hexdigest()[:10]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_suffix(".lock")):
            known = json.loads(self.path.read_text()) if self.path.is_file() else {}
            if key not in known:
                known[key] = measure_step(spec)
                write_json(self.path, known)
        return known[key]["seconds"]


def measure_step(spec: NetworkSpec) -> dict[str, float | int | str]:
    """Return the seconds of the fastest of some training steps, of how many clips, on what device.

    A step is forward, backward and SGD in the precision of a training here: bfloat16 on a GPU that computes in it,
    else float32. On a GPU with the recipe's clips, elsewhere with 8 at most.
    """
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    batch = spec.batch if on_gpu else min(spec.batch, MOST_CLIPS_ON_CPU)
    net = build(spec.net.config()).to(device).train()
    video = torch.randn(batch, 3, *spec.clip, device=device)  # (B, 3, T, H, W)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-6)
    seconds = []
    for _ in range(1 + STEPS):  # the first warms up
        start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu and torch.cuda.is_bf16_supported()):
            loss = net(video).float().square().mean()
        loss.backward()
        optimizer.step()
        if on_gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    where = torch.cuda.get_device_name() if on_gpu else f"cpu, {torch.get_num_threads()} threads"
    return {"seconds": min(seconds[1:]), "clips": batch, "device": where}
