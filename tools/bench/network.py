"""What a network costs in training and in a 10 x 3 test: ours in each form, and the same network of pytorchvideo.

A step is forward, backward and optimiser on clips that are already decoded; a test is a forward pass of views. All
networks have the same weights; their logits are compared first. MB are those at the peak of a step beyond what was
there before it. FLOP are twice the multiply-adds of the papers' form, three times that in training; the peak of a GPU
is Lightning's number for the dtype, or --peak-tflops. A row that fails shows its error.

    python tools/bench/network.py                                     C2D R50, two clips of 8 x 112 x 112
    python tools/bench/network.py --arch i3d --at nl5 --cpu-time      on a machine with other work
    python tools/bench/network.py --arch i3d --at nl10 --no-subsample --frames 32 --size 224 --batch 1 --plain
    python tools/bench/network.py --arch i3d --at nl5 --size 224 --batch 16 --device cuda --compile
    python tools/bench/network.py --mode test --size 256 --batch 30 --device cuda
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from lightning.fabric.utilities.throughput import get_available_flops
from measure import Call, median_seconds, peak_bytes, write_rows
from peers import INSTANTIATION, KERNELS, resnet
from torch import Tensor, nn

from nlvideo.blocks import NonLocal
from nlvideo.checkpoint.codebases import PYTORCHVIDEO
from nlvideo.cost.count import count_cost
from nlvideo.models import Insert, ResNet3d
from nlvideo.models.activation_checkpointing import activation_checkpoint_stages
from nlvideo.models.compile import compile_blocks
from nlvideo.models.inference import inference_copy
from nlvideo.models.resnet3d import DEPTHS
from nlvideo.training.optim import Optimizer


@dataclass(frozen=True)
class Form:
    """Whose network it is, and how it is run."""

    whose: str = "nlvideo"
    bf16: bool = False
    channels_last: bool = False
    fused: bool = False
    compiled: bool = False
    recomputed: tuple[str, ...] = ()


PEER = [Form("pytorchvideo"), Form("pytorchvideo", bf16=True)]
FORMS = {
    "train": [
        *PEER,
        Form(),
        Form(fused=True),
        Form(channels_last=True),
        Form(bf16=True),
        Form(bf16=True, channels_last=True),
        Form(bf16=True, channels_last=True, fused=True),
        Form(bf16=True, channels_last=True, fused=True, recomputed=("res2", "res3")),
        Form(bf16=True, channels_last=True, fused=True, compiled=True),
    ],
    # Inference copies are channels last.
    "test": [
        *PEER,
        Form(channels_last=True),
        Form(bf16=True, channels_last=True),
        Form(bf16=True, channels_last=True, compiled=True),
    ],
}


def ours(options: argparse.Namespace) -> ResNet3d:
    torch.manual_seed(0)
    # From init_scale 0 a block is the identity, whatever it computes.
    block = partial(NonLocal, pairwise=options.pairwise, subsample=options.subsample, init_scale=1.0)
    after = Insert(block, options.at)
    return ResNet3d(options.arch, options.depth, temporal_stride=options.temporal_stride, after=after)


def theirs(options: argparse.Namespace) -> nn.Module:
    names = ("arch", "depth", "at", "pairwise", "subsample", "temporal_stride", "frames", "size")
    net = resnet(**{name: getattr(options, name) for name in names})
    weights = ours(options).state_dict()
    net.load_state_dict({name: weights[PYTORCHVIDEO.our_name(name)] for name in net.state_dict()})
    return net


def make_call(form: Form, options: argparse.Namespace, video: Tensor, label: Tensor) -> Call:
    """Return a training step or a forward pass that was run once."""
    net = (ours if form.whose == "nlvideo" else theirs)(options).to(options.device)
    autocast = partial(torch.autocast, video.device.type, dtype=torch.bfloat16, enabled=form.bf16)
    if form.channels_last:
        net.to(memory_format=torch.channels_last_3d)
        video = video.contiguous(memory_format=torch.channels_last_3d)
    if options.mode == "test":
        if form.whose == "nlvideo":
            dtype = torch.bfloat16 if form.bf16 else torch.float32
            net, video, autocast = inference_copy(net, dtype), video.to(dtype), partial(autocast, enabled=False)
        call = forward_call(net.eval(), autocast, video)
    else:
        if form.whose == "nlvideo":
            activation_checkpoint_stages(net, form.recomputed)
            optimizer = Optimizer(lr=0.01, fused=form.fused).build(net, options.batch)
        else:
            optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4)
        call = training_call(net, optimizer, autocast, video, label)
    if form.compiled:
        compile_blocks(net)
    call()  # raises here if it does not run
    return call


def training_call(
    net: nn.Module, optimizer: torch.optim.Optimizer, autocast: Callable, video: Tensor, label: Tensor
) -> Call:
    def run() -> None:
        optimizer.zero_grad()
        with autocast():
            logits = net(video)
        nn.functional.cross_entropy(logits.float(), label).backward()
        optimizer.step()

    return run


def forward_call(net: nn.Module, autocast: Callable, video: Tensor) -> Call:
    def run() -> None:
        with torch.inference_mode(), autocast():
            net(video)

    return run


def measure(options: argparse.Namespace, forms: list[Form], flop: float) -> list[dict]:
    """Return a row for each form: in turns on a CPU, one after the other on a GPU, whose memory may be short."""
    generator = torch.Generator().manual_seed(0)
    video = torch.randn(options.batch, 3, options.frames, options.size, options.size, generator=generator)
    label = torch.randint(400, (options.batch,), generator=generator)
    video, label = video.to(options.device), label.to(options.device)
    rows = [{**asdict(form), "recomputed": " ".join(form.recomputed)} for form in forms]
    for group in [[i] for i in range(len(rows))] if options.device == "cuda" else [range(len(rows))]:
        calls: dict[int, Call] = {}
        for i in group:
            try:
                calls[i] = make_call(forms[i], options, video, label)
            except Exception as error:  # a peer that does not run on these libraries, or too little memory
                rows[i]["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
        timing = {"repeats": options.repeats, "device": options.device, "cpu_time": options.cpu_time}
        for i, seconds in zip(calls, median_seconds([*calls.values()], **timing), strict=True):
            megabytes = peak_bytes(calls[i], device=options.device) / 1e6
            tflops = flop / seconds / 1e12
            rows[i] |= {"clips/s": options.batch / seconds, "ms": 1e3 * seconds, "MB": megabytes, "TFLOP/s": tflops}
            if peak := options.peak_tflops or peak_tflops(options.device, forms[i].bf16):
                rows[i]["% of peak"] = 100 * tflops / peak
        del calls
        torch.cuda.empty_cache()
    base = rows[0].get("ms")
    return [{**row, "x pytorchvideo": base / row["ms"]} if base and "ms" in row else row for row in rows]


def peak_tflops(device: str, bf16: bool) -> float | None:
    if device == "cpu":
        return None
    flops = get_available_flops(torch.device(device), torch.bfloat16 if bf16 else torch.float32)
    return flops / 1e12 if flops else None


def difference(options: argparse.Namespace) -> float:
    """Return how far our logits are from pytorchvideo's for one clip, relative to their norm."""
    video = torch.randn(1, 3, options.frames, options.size, options.size, device=options.device)
    with torch.inference_mode():
        given, expected = (make(options).to(options.device).eval()(video) for make in (ours, theirs))
    return ((given - expected).norm() / expected.norm()).item()


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--mode", choices=FORMS, default="train", help="default: %(default)s")
    add("--arch", choices=KERNELS, default="c2d", help="default: %(default)s")
    add("--depth", type=int, choices=DEPTHS, default=50, help="default: %(default)s")
    add("--at", default="none", help="non-local blocks: none, nl1, nl5, nl10 (default: %(default)s)")
    add("--pairwise", choices=INSTANTIATION, default="embedded_gaussian", help="default: %(default)s")
    add("--subsample", action=argparse.BooleanOptionalAction, default=True, help="keys and values (default: yes)")
    add("--frames", type=int, default=8, help="default: %(default)s")
    add("--temporal-stride", type=int, choices=(1, 4), default=1, help="of the stem; 4 for 32 x 2")
    add("--size", type=int, default=112, help="pixels (default: %(default)s)")
    add("--batch", type=int, default=2, help="clips (default: %(default)s)")
    add("--repeats", type=int, default=5, help="rounds, of which the median (default: %(default)s)")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s")
    add("--only", choices=("pytorchvideo", "nlvideo"), help="default: both")
    add("--plain", action="store_true", help="only float32 in the default layout")
    add("--cpu-time", action="store_true", help="processor time of one thread, for a machine with other work")
    add("--compile", action="store_true", help="torch.compile too, which takes minutes")
    add("--peak-tflops", type=float, help="of the device, dense (default: what is known of it)")
    add("--output", type=Path, help="CSV to add the rows to")
    return parser


def main() -> None:
    options = build_parser().parse_args()
    if options.cpu_time:
        torch.set_num_threads(1)
    if options.device == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    forms = [
        form
        for form in FORMS[options.mode]
        if options.only in (None, form.whose)
        and (options.compile or not form.compiled)
        and (not options.plain or form == Form(form.whose))
    ]
    try:
        print(
            f"logits differ from those of pytorchvideo's network by {difference(options):.1g}, relative to their norm"
        )
    except Exception as error:
        print(f"logits were not compared: {type(error).__name__}: {error}")
    with torch.device("meta"):
        macs = count_cost(ours(options), (options.frames, options.size, options.size)).macs
    rows = measure(options, forms, (6 if options.mode == "train" else 2) * macs * options.batch)
    blocks = "" if options.at == "none" else f" {options.at} {options.pairwise}"
    about = {
        "network": f"{options.arch} R{options.depth}{blocks}{'' if options.subsample else ', not subsampled'}",
        "mode": options.mode,
        "clips": f"{options.batch} x {options.frames} x {options.size} x {options.size}",
    }
    write_rows([{**about, **row} for row in rows], options.output, options.device, cpu_time=options.cpu_time)


if __name__ == "__main__":
    main()
