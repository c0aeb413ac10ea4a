"""Print what a network costs before it is trained: parameters, multiply-adds and memory, stage by stage.

python tools/cost.py -c configs/c2d_r50_8x8.yaml --model.net.after.at nl5
python tools/cost.py -c configs/c2d_r50_8x8.yaml --against configs/i3d_r50_8x8.yaml
python tools/cost.py --paper
"""

import argparse
import sys
from pathlib import Path

from nlvideo.configuration import configuration
from nlvideo.console import console
from nlvideo.cost.tables import NetworkSpec, comparison_table, published_tables, stage_table
from nlvideo.exit_codes import script


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Any other option is one of `nlvideo fit`, and goes for each of the networks.",
    )
    parser.add_argument("-c", "--config", action="append", default=[], help="a YAML recipe; several are merged")
    parser.add_argument("--against", action="append", default=[], help="another recipe, put beside it; several may be")
    parser.add_argument("--paper", action="store_true", help="our counts beside the published ones")
    return parser


@script
def main() -> None:
    parser = build_parser()
    options, overrides = parser.parse_known_args()
    if bool(options.config) == options.paper:
        parser.error("give a recipe (-c), or --paper")
    if options.paper:
        tables = published_tables()
    else:
        config = [argument for path in options.config for argument in ("-c", path)]
        networks = {Path(options.config[-1]).stem: NetworkSpec.of(configuration([*config, *overrides]))}
        for path in options.against:
            networks[Path(path).stem] = NetworkSpec.of(configuration(["-c", path, *overrides]))
        tables = [comparison_table(networks) if options.against else stage_table(*networks.values())]
    for table in tables:
        console().print(table)


if __name__ == "__main__":
    sys.exit(main())
