"""List where attention blocks can stand in a network: what ``at`` takes, the map there, and the cost of a block.

nlvideo places -c configs/demo.yaml
nlvideo places -c configs/demo.yaml --model.net AnyModel --model.net.model torchvision.models.video.r3d_18
nlvideo places -c configs/c2d_r50_8x8.yaml --model.net.after.block SqueezeExcite
"""

import argparse
from collections.abc import Sequence


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nlvideo places",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Any other option is one of `nlvideo fit`.",
        allow_abbrev=False,
    )
    parser.add_argument("-c", "--config", action="append", default=[], help="a YAML recipe; several are merged")
    parser.add_argument("--all", action="store_true", help="modules inside of residual blocks too")
    return parser


def main(args: Sequence[str]) -> None:
    options, overrides = build_parser().parse_known_args(args)
    from nlvideo.configuration import configuration
    from nlvideo.console import console
    from nlvideo.cost.places import place_table
    from nlvideo.cost.tables import NetworkSpec

    config = [argument for path in options.config for argument in ("-c", path)]
    spec = NetworkSpec.of(configuration([*config, *overrides]))
    console().print(place_table(spec, every=options.all))
    if spec.net.places(every=True).keys() - spec.net.places().keys() and not options.all:
        console().print("--all lists the modules inside of these too; patterns such as layer3.* name several")
