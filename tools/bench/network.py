"""Peak memory and time of one training step of a network full of non-local blocks: ours against pytorchvideo's.

I3D R50 with ten blocks, keys and values not subsampled, one clip of 32 frames at 224: res3 has 12,544 positions, and an
N x N matrix of float32 there takes 629 MB, several of them for each block.

    python tools/bench/network.py
"""

import argparse
import resource
import subprocess
import sys
import time
from functools import partial
from itertools import product

import torch
from peers import INSTANTIATION
from pytorchvideo.layers.nonlocal_net import create_nonlocal
from torch import Tensor

from nlvideo.blocks import Block, NonLocal
from nlvideo.models import Insert, ResNet3d


class Pytorchvideo(Block):
    """pytorchvideo's block as one of ours."""

    def __init__(self, channels: int, *, pairwise: str = "embedded_gaussian", subsample: bool = False):
        super().__init__(channels)
        self.block = create_nonlocal(
            dim_in=channels,
            dim_inner=channels // 2,
            pool_size=(1, 2, 2) if subsample else (1, 1, 1),
            instantiation=INSTANTIATION[pairwise],
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


BLOCKS = {
    "no blocks": NonLocal,
    "pytorchvideo": Pytorchvideo,
    "nlvideo": partial(NonLocal, subsample=False),
}


def step(whose: str, pairwise: str, frames: int, size: int) -> None:
    """Print the seconds of a training step, and the peak of this process's resident memory in MB."""
    torch.manual_seed(0)
    at = "none" if whose == "no blocks" else "nl10"
    net = ResNet3d("i3d", 50, after=Insert(partial(BLOCKS[whose], pairwise=pairwise), at))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    video, label = torch.randn(1, 3, frames, size, size), torch.tensor([7])
    started = time.perf_counter()
    torch.nn.functional.cross_entropy(net(video), label).backward()
    optimizer.step()
    print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=32, help="default: %(default)s")
    parser.add_argument("--size", type=int, default=224, help="pixels (default: %(default)s)")
    parser.add_argument("--only", choices=list(BLOCKS), help="default: each of them")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    return parser


def main() -> None:
    options = build_parser().parse_args()
    if options.step:
        step(*options.step, options.frames, options.size)
        return
    print(
        f"I3D R50, ten blocks, no subsampling, one clip of {options.frames} frames at {options.size}, one training step"
    )
    for whose, pairwise in product(BLOCKS, INSTANTIATION):
        if options.only not in (None, whose) or (whose == "no blocks" and pairwise != "embedded_gaussian"):
            continue
        command = [sys.executable, __file__, "--frames", str(options.frames), "--size", str(options.size)]
        child = subprocess.run([*command, "--step", whose, pairwise], capture_output=True, text=True)
        if child.returncode:
            print(f"{whose:13} {pairwise:18} ended with status {child.returncode}: {child.stderr.strip()[-200:]}")
            continue
        seconds, megabytes = map(float, child.stdout.split())
        print(f"{whose:13} {pairwise:18} {seconds:7.1f} s   peak {megabytes / 1024:6.2f} GB", flush=True)


if __name__ == "__main__":
    main()
