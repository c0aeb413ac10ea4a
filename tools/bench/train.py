"""Clips a second of a training step: ours against the same network from pytorchvideo, and each option against none.

A step is forward, backward and optimiser, on clips that are already decoded. Both networks have the same weights; their
logits are compared first. In turns, so that whatever else the machine does falls on all of them alike.

    python tools/bench/train.py                                     C2D R50, two clips of 8 x 112 x 112
    python tools/bench/train.py --arch i3d --at nl5 --cpu-time      on a machine with other work
    python tools/bench/train.py --compile                           torch.compile too: minutes
    python tools/bench/train.py --size 224 --batch 16 --device cuda
"""

import argparse
import math
from dataclasses import dataclass
from functools import partial

import torch
from measure import Call, median_seconds, peak_bytes
from pytorchvideo.layers.nonlocal_net import create_nonlocal
from pytorchvideo.models.resnet import create_resnet
from rich.table import Table
from torch import Tensor, nn

from nlvideo.blocks import NonLocal
from nlvideo.checkpoint.codebases import PYTORCHVIDEO
from nlvideo.console import console
from nlvideo.models import Insert, ResNet3d, resolve_placement
from nlvideo.models.activation_checkpointing import activation_checkpoint_stages
from nlvideo.models.compile import compile_blocks
from nlvideo.models.resnet3d import DEPTHS
from nlvideo.training.optim import Optimizer

ALTERNATING = [(3, 1, 1), (1, 1, 1)]
KERNELS = {"c2d": [[(1, 1, 1)]] * 4, "i3d": [[(3, 1, 1)], ALTERNATING, ALTERNATING, ALTERNATING[::-1]]}


@dataclass(frozen=True)
class Form:
    """How our network is trained."""

    name: str
    bfloat16: bool = False
    channels_last: bool = False
    fused: bool = False
    recomputed: tuple[str, ...] = ()
    compiled: bool = False


@dataclass(frozen=True)
class Row:
    """A row of the table: what is timed, or the error that kept it from running."""

    name: str
    call: Call | None = None
    error: Exception | None = None


FORMS = [
    Form("nlvideo, float32"),
    Form("  fused optimiser", fused=True),
    Form("  channels last", channels_last=True),
    Form("  bf16", bfloat16=True),
    Form("  bf16 and channels last", True, True),
    Form("  all three", True, True, True),
    Form("  all three, res2 and res3 recomputed", True, True, True, ("res2", "res3")),
]
COMPILED = Form("  all three, compiled", True, True, True, compiled=True)


def ours(options: argparse.Namespace) -> ResNet3d:
    torch.manual_seed(0)
    block = partial(NonLocal, init_scale=1.0)  # from 0 it is the identity, whatever it computes
    return ResNet3d(options.arch, options.depth, after=Insert(block, options.at)).to(options.device)


def theirs(options: argparse.Namespace) -> nn.Module:
    """The same network with pytorchvideo's own functions; its non-local blocks stand where ours do."""
    side = math.ceil(options.size / 32)  # of the last map
    net = create_resnet(
        model_depth=options.depth,
        model_num_class=400,
        stem_conv_kernel_size=(1 if options.arch == "c2d" else 5, 7, 7),
        stage1_pool=nn.MaxPool3d,
        stage_conv_a_kernel_size=tuple(map(tuple, KERNELS[options.arch])),
        head_pool_kernel_size=(options.frames // 2, side, side),
    )
    number = {"res2": 1, "res3": 3, "res4": 4, "res5": 5}
    for stage, indices in resolve_placement(options.at, DEPTHS[options.depth]).items():
        blocks = net.blocks[number[stage]].res_blocks
        for i in indices:
            channels = blocks[i].branch2.conv_c.out_channels
            block = create_nonlocal(dim_in=channels, dim_inner=channels // 2, pool_size=(1, 2, 2))
            blocks[i] = nn.Sequential(blocks[i], block)
    return net.to(options.device)


def copy_weights(source: ResNet3d, target: nn.Module) -> None:
    weights = source.state_dict()
    target.load_state_dict({name: weights[PYTORCHVIDEO.our_name(name)] for name in target.state_dict()})


def step(
    net: nn.Module, optimizer: torch.optim.Optimizer, video: Tensor, label: Tensor, bfloat16: bool = False
) -> Call:
    def run() -> None:
        optimizer.zero_grad()
        with torch.autocast(video.device.type, dtype=torch.bfloat16, enabled=bfloat16):
            logits = net(video)
        nn.functional.cross_entropy(logits.float(), label).backward()
        optimizer.step()

    return run


def our_step(form: Form, options: argparse.Namespace, video: Tensor, label: Tensor) -> Call:
    net = ours(options)
    if form.channels_last:
        net.to(memory_format=torch.channels_last_3d)
        video = video.contiguous(memory_format=torch.channels_last_3d)
    if form.compiled:
        compile_blocks(net)
    activation_checkpoint_stages(net, form.recomputed)
    optimizer = Optimizer(lr=0.01, fused=form.fused).build(net, options.batch)
    call = step(net, optimizer, video, label, form.bfloat16)
    call()  # raises here if it does not train
    return call


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", choices=KERNELS, default="c2d", help="default: %(default)s")
    parser.add_argument("--depth", type=int, choices=DEPTHS, default=50, help="default: %(default)s")
    parser.add_argument("--at", default="none", help="non-local blocks: none, nl1, nl5, nl10 (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--size", type=int, default=112, help="pixels (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=2, help="clips (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds, of which the median (default: %(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s")
    parser.add_argument(
        "--cpu-time", action="store_true", help="processor time of one thread, for a machine with other work"
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile too, which takes minutes")
    return parser


def main() -> None:
    options = build_parser().parse_args()
    generator = torch.Generator().manual_seed(0)
    video = torch.randn(options.batch, 3, options.frames, options.size, options.size, generator=generator)
    label = torch.randint(400, (options.batch,), generator=generator)
    video, label = video.to(options.device), label.to(options.device)

    if options.cpu_time:
        torch.set_num_threads(1)
    rows: list[Row] = []
    try:
        rows.append(Row("pytorchvideo, float32", their_step(options, video, label)))
    except Exception as error:  # a peer that does not run on these libraries is a row
        rows.append(Row("pytorchvideo, float32", error=error))
    for form in [*FORMS, COMPILED] if options.compile else FORMS:
        try:
            rows.append(Row(form.name, our_step(form, options, video, label)))
        except Exception as error:  # as of a fused optimizer on a device that has none
            rows.append(Row(form.name, error=error))

    calls = [row.call for row in rows if row.call is not None]
    times = median_seconds(calls, repeats=options.repeats, device=options.device, cpu_time=options.cpu_time)
    seconds = dict(zip(calls, times, strict=True))
    console().print(results_table(rows, seconds, options))


def their_step(options: argparse.Namespace, video: Tensor, label: Tensor) -> Call:
    """Return a step of pytorchvideo's network, once its logits are known to be ours."""
    reference, net = theirs(options), ours(options)
    copy_weights(net, reference)
    with torch.no_grad():
        given, expected = net.eval()(video), reference.eval()(video)
    difference = (given - expected).norm() / expected.norm()
    print(f"logits differ from those of pytorchvideo's network by {difference:.1g}, relative to their norm")
    sgd = torch.optim.SGD(reference.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4)
    call = step(reference.train(), sgd, video, label)
    call()  # raises here if it does not train
    return call


def results_table(rows: list[Row], seconds: dict[Call, float], options: argparse.Namespace) -> Table:
    table = Table("", "clips/s", "ms a step", "× pytorchvideo", "× nlvideo, float32", "peak MB of a step")
    blocks = "" if options.at == "none" else f" with {options.at}"
    table.title = (
        f"{options.arch} R{options.depth}{blocks}, {options.batch} clips of {options.frames} x {options.size} x "
        f"{options.size}, {options.device}, {torch.get_num_threads()} threads{', CPU time' * options.cpu_time}"
    )
    bases = [seconds.get(row.call) for row in rows[:2]]
    for row in rows:
        if row.call is None:
            table.add_row(row.name, f"{type(row.error).__name__}: {row.error}")
            continue
        its = seconds[row.call]
        table.add_row(
            row.name,
            f"{options.batch / its:.2f}",
            f"{1000 * its:.0f}",
            *(f"{base / its:.2f}" if base else "" for base in bases),
            f"{peak_bytes(row.call, device=options.device) / 1e6:.0f}",
        )
    return table


if __name__ == "__main__":
    main()
