"""Make a checkpoint of nlvideo out of another codebase's weights, and beside it the configuration of its network.

python tools/convert_checkpoint.py I3D_8x8_R50.pyth -o i3d.ckpt --classes data/kinetics400/classes.txt
python tools/convert_checkpoint.py i3d_nonlocal_32x2.pkl -o nl.ckpt --set temporal_stride=4 --set pairwise=dot_product

Reads video-nonlocal-net's pickles, SlowFast, pytorchvideo, mmaction2, and image ResNets of torchvision and timm.
"""

import argparse
import sys
from pathlib import Path

import yaml

from nlvideo.checkpoint import convert, save
from nlvideo.exit_codes import script
from nlvideo.files import write_text


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path, metavar="IN", help="another codebase's file")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.ckpt", help="the checkpoint to write")
    parser.add_argument("--classes", type=Path, help="the names of the classes, one a line")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="what weights cannot tell: temporal_stride, pool1, dropout; arch, of image networks; of non-local blocks "
        "pairwise, scale, subsample, pool_after_projection, domain, and temporal_groups of those in res3",
    )
    return parser


@script
def main() -> None:
    options = build_parser().parse_args()
    net = convert(options.input, **dict(map(parse_override, options.set)))
    if options.classes:
        net.class_names = read_names(options.classes, net.num_classes)
    save(net, options.output)
    config = options.output.with_suffix(".yaml")
    write_text(config, yaml.safe_dump(recipe(net), sort_keys=False))
    print(net.conversion)
    print(f"written {options.output}, and {config}, the network as a configuration:")
    print(f"  nlvideo test -c DATA.yaml -c {config} --ckpt_path {options.output}")
    print(f"  nlvideo fit -c DATA.yaml -c {config} --model.init_from {options.output} --data.num_classes N")


def recipe(net) -> dict:
    """Return the network, its pixels and its clips as a configuration, to be completed by data."""
    pre, node = net.preprocessing, net.config()
    node["init_args"].pop("num_classes")  # data.num_classes
    return {
        "model": {"net": node, "mean": pre["mean"], "std": pre["std"]},
        "data": {"num_classes": net.num_classes} | {name: pre[name] for name in ("clip_frames", "frame_interval")},
    }


def parse_override(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r}: expected KEY=VALUE, such as temporal_stride=4")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ValueError(f"{text!r}: not YAML: {' '.join(str(error).split())}") from error


def read_names(path: Path, num_classes: int) -> list[str]:
    names = path.read_text().splitlines()
    if len(names) != num_classes:
        raise ValueError(f"{path}: {len(names)} names, but the network has {num_classes} classes")
    return names


if __name__ == "__main__":
    sys.exit(main())
