"""What non-local attention costs: operations and whole blocks, nlvideo's beside the explicit form and the peers'.

python tools/bench/nonlocal.py                                      every row, into results/nonlocal_cpu.csv
python tools/bench/nonlocal.py --only block --cpu-time              on a machine with other work
python tools/bench/nonlocal.py --device cuda --dtype bfloat16
"""

import argparse
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import torch
from measure import median_seconds, peak_bytes, write_rows
from peers import OPERATIONS, blocks, inputs, operations

from nlvideo.ops import PAIRWISE

SIZES = {  # of an 8-frame clip at 224 in ResNet-50: N queries, M keys (a quarter if subsampled), D channels
    "res4, subsampled": (784, 196, 512),
    "res4": (784, 784, 512),
    "res3, subsampled": (3136, 784, 256),
    "res3": (3136, 3136, 256),
    "res2, subsampled": (25_088, 6272, 128),
    "res2": (25_088, 25_088, 128),
}
BLOCKS = {"res4": (2, 1024, 4, 14, 14), "res3": (2, 512, 4, 28, 28)}  # (B, C, T, H, W)
TINY_SIZES, TINY_BLOCKS = {"tiny": (30, 20, 8)}, {"tiny": (2, 8, 2, 6, 6)}
LAYOUTS = {"default": torch.contiguous_format, "channels last": torch.channels_last_3d}

Call = Callable[[], object]
Case = tuple[dict[str, str], dict[str, Call | Exception]]  # what is measured; how, or why not, by implementation


def operation_cases(args: argparse.Namespace) -> Iterator[Case]:
    dtype = getattr(torch, args.dtype)
    for name, (size, (n, m, d)) in product(OPERATIONS, (TINY_SIZES if args.tiny else SIZES).items()):
        tensors = inputs(name, n, m, d, args.device, dtype)
        calls: dict[str, Call | Exception] = {}
        for whose, form in operations(name, d).items():
            needed = 3 * n * m * dtype.itemsize / 1e9  # scores, weights and their gradient
            if whose not in ("nlvideo", "SDPA") and needed > args.limit_gb:
                calls[whose] = MemoryError(f"needs {needed:.1f} GB")
            else:
                calls[whose] = lambda form=form, tensors=tensors: torch.autograd.grad(form(*tensors).sum(), tensors)
        yield {"what": "operation", "function": name, "size": f"{size}: {n} x {m} x {d}", "layout": "default"}, calls


def block_cases(args: argparse.Namespace) -> Iterator[Case]:
    sizes = TINY_BLOCKS if args.tiny else BLOCKS
    for (size, shape), (layout, memory_format), name in product(sizes.items(), LAYOUTS.items(), PAIRWISE):
        options = {"device": args.device, "dtype": getattr(torch, args.dtype), "memory_format": memory_format}
        x, grad = (torch.randn(shape).relu().to(**options) for _ in range(2))
        calls: dict[str, Call | Exception] = {}
        for whose, make in blocks(name, shape[1]).items():
            try:
                module = make().to(**options)
                calls[whose] = training_step(module, x.requires_grad_(), grad)
            except Exception as error:  # a peer may not be installed
                calls[whose] = error
        description = f"{size}: {' x '.join(map(str, shape))}"
        yield {"what": "block", "function": name, "size": description, "layout": layout}, calls


def training_step(module: torch.nn.Module, x: torch.Tensor, grad: torch.Tensor) -> Call:
    parameters = [x, *module.parameters()]
    return lambda: torch.autograd.grad(module(x), parameters, grad, allow_unused=True)


def measure(case: Case, args: argparse.Namespace) -> list[dict]:
    """Return a row for each implementation: time and memory of forward and backward, or the error."""
    about, calls = case
    for whose, call in calls.items():
        try:
            if not isinstance(call, Exception):
                call()
        except Exception as error:  # a kernel that refuses, or too little memory
            calls[whose] = error
    running = {whose: call for whose, call in calls.items() if not isinstance(call, Exception)}
    seconds = median_seconds(list(running.values()), repeats=args.repeats, device=args.device, cpu_time=args.cpu_time)
    rows = {whose: {"ms": 1e3 * each} for whose, each in zip(running, seconds, strict=True)}
    for whose, call in running.items():
        rows[whose]["MB"] = peak_bytes(call, device=args.device) / 1e6
    for whose, error in calls.items():
        if isinstance(error, Exception):
            rows[whose] = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    peers = [row["ms"] for whose, row in rows.items() if whose != "nlvideo" and "ms" in row]
    if peers:
        rows["nlvideo"]["fastest peer / nlvideo"] = min(peers) / rows["nlvideo"]["ms"]
    return [{**about, "whose": whose, **rows[whose]} for whose in calls]


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float64"], default="float32")
    parser.add_argument("--only", choices=["operation", "block"], help="default: both")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--cpu-time", action="store_true", help="of this process, for a machine with other work")
    parser.add_argument("--limit-gb", type=float, default=4.0, help="skip what needs more memory than this")
    parser.add_argument("--tiny", action="store_true", help="sizes of a test")
    parser.add_argument("--output", type=Path, help="CSV to add the rows to (default: results/nonlocal_DEVICE.csv)")
    return parser


def main() -> None:
    args = build_parser().parse_args()
    cases = [("operation", operation_cases), ("block", block_cases)]
    rows = []
    for what, make in cases:
        if args.only in (None, what):
            rows += [row for case in make(args) for row in measure(case, args)]
    print("forward and backward; MB beyond the inputs at the peak")
    output = args.output or Path("results") / f"nonlocal_{args.device}.csv"
    write_rows([{**row, "dtype": args.dtype} for row in rows], output, args.device, cpu_time=args.cpu_time)


if __name__ == "__main__":
    main()
