"""What non-local attention costs: the paper's explicit form, pytorchvideo's block and ours, in one run.

python tools/bench/nonlocal.py
python tools/bench/nonlocal.py --quick
python tools/bench/nonlocal.py --device cuda --dtype bfloat16
python tools/bench/nonlocal.py --plot docs/nonlocal_cost.png
"""

import argparse
from pathlib import Path

import matplotlib
import torch
from forms import NAMES, PAIRWISE, forms, forward, inputs, train
from measure import median_seconds, peak_bytes
from rich.table import Table

from nlvideo.console import console

SIZES = {  # of an 8-frame clip at 224 in ResNet-50: N queries, M keys (a quarter if subsampled), D channels
    "res4, subsampled": (784, 196, 512),
    "res4": (784, 784, 512),
    "res3, subsampled": (3136, 784, 256),
    "res3": (3136, 3136, 256),
    "res2, subsampled": (25_088, 6272, 128),
    "res2": (25_088, 25_088, 128),
}
NUM_QUICK = 4  # of these sizes
PLOT_POSITIONS = [256, 512, 1024, 2048, 4096, 8192, 16_384]
PLOT_CHANNELS = 64


def main() -> None:
    args = build_parser().parse_args()
    args.repeats = 3 if args.quick else args.repeats
    if args.plot:
        plot(args)
        return
    table = Table(title=f"{args.device}, {args.dtype}, {torch.get_num_threads()} CPU threads, B = 1; ms, MB extra")
    for column in ("pairwise", "N x M x D", "pass", *NAMES, "explicit / ours"):
        table.add_column(column, justify="left" if column in ("pairwise", "pass") else "right")
    sizes = list(SIZES.values())[: NUM_QUICK if args.quick else None]
    for pairwise in PAIRWISE:
        for size in sizes:
            for label, run in (("forward", forward), ("+ backward", train)):
                cells, times = measure(pairwise, size, run, args)
                ratio = f"{times['explicit'] / times['ours']:.1f}" if "explicit" in times else ""
                shown = " x ".join(f"{n:,}" for n in size)
                table.add_row(pairwise, shown, label, *(cells.get(name, "-") for name in NAMES), ratio)
        table.add_section()
    console().print(table, width=args.width)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float64"], default="float32")
    parser.add_argument("--quick", action="store_true", help="res4 and res3 only, fewer repeats")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--limit-gb", type=float, default=4.0, help="skip what needs more memory than this")
    parser.add_argument("--width", type=int, help="of the table, where the terminal does not tell")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw time and memory against N instead")
    return parser


def measure(pairwise: str, size: tuple[int, int, int], run, args) -> tuple[dict[str, str], dict[str, float]]:
    """What each cell says, and the seconds of those that ran."""
    n, m, d = size
    dtype = getattr(torch, args.dtype)
    tensors = inputs(pairwise, n, m, d, args.device, dtype)
    needed = 3 * n * m * dtype.itemsize  # scores, weights and their gradient
    cells, calls = {}, {}
    for name, form in forms(pairwise, d).items():
        if name != "ours" and needed > args.limit_gb * 1e9:
            cells[name] = f"needs {needed / 1e9:.1f} GB"
        else:
            calls[name] = run(form, tensors)
    seconds = median_seconds(list(calls.values()), repeats=num_repeats(args, n * m), device=args.device)
    times = dict(zip(calls, seconds, strict=True))
    for name, call in calls.items():
        megabytes = peak_bytes(call, device=args.device) / 1e6
        cells[name] = f"{1e3 * times[name]:,.1f} ms {megabytes:7,.1f} MB"
    return cells, times


def num_repeats(args: argparse.Namespace, pairs: int) -> int:
    """Calls of milliseconds are the noisy ones and cost nothing to repeat; calls of seconds are neither."""
    return 4 * args.repeats if pairs < 1e6 else args.repeats if pairs < 5e7 else 1


def plot(args: argparse.Namespace) -> None:
    """Forward and backward, N = M, against N."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (time_axes, memory_axes) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    dtype = getattr(torch, args.dtype)
    for pairwise, colour in zip(PAIRWISE, ("tab:blue", "tab:orange", "tab:green"), strict=True):
        for name, style in (("explicit", "--"), ("ours", "-")):
            points = []
            for n in PLOT_POSITIONS:
                if name == "explicit" and 3 * n * n * dtype.itemsize > args.limit_gb * 1e9:
                    break
                tensors = inputs(pairwise, n, n, PLOT_CHANNELS, args.device, dtype)
                call = train(forms(pairwise, PLOT_CHANNELS)[name], tensors)
                (seconds,) = median_seconds([call], repeats=num_repeats(args, n * n), device=args.device)
                points.append((n, 1e3 * seconds, peak_bytes(call, device=args.device) / 1e6))
            positions, milliseconds, megabytes = zip(*points, strict=True)
            label = f"{pairwise.replace('_', ' ')}, {name}"
            time_axes.plot(positions, milliseconds, style, marker=".", color=colour, label=label)
            memory_axes.plot(positions, megabytes, style, marker=".", color=colour, label=label)
    time_axes.set(title="time of forward and backward", ylabel="ms")
    memory_axes.set(title="extra memory at the peak", ylabel="MB")
    for axes in (time_axes, memory_axes):
        axes.set(xscale="log", yscale="log", xlabel=f"positions N = M, {PLOT_CHANNELS} channels, {args.device}")
        axes.set_xticks(PLOT_POSITIONS, [f"{n:,}" for n in PLOT_POSITIONS], rotation=45)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    time_axes.legend(fontsize=8)
    args.plot.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.plot, dpi=110)


if __name__ == "__main__":
    main()
