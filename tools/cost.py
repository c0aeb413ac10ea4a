"""Says what a network costs before it is trained: parameters, multiply-adds and memory, stage by stage.

python tools/cost.py -c configs/c2d_r50_8x8.yaml --model.net.after.at nl5
python tools/cost.py -c configs/c2d_r50_8x8.yaml --against configs/i3d_r50_8x8.yaml
python tools/cost.py --paper
"""

import argparse
import io
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import torch
import yaml

from nlvideo.checkpoint import build
from nlvideo.cli import VideoCLI
from nlvideo.console import console
from nlvideo.cost_tables import Job, comparison_table, published_tables, stage_table


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


def read_job(arguments: Sequence[str]) -> Job:
    """What `nlvideo fit` with these arguments would train, its network on meta."""
    shown = io.StringIO()
    try:
        with redirect_stdout(shown):
            VideoCLI(["fit", *arguments, "--print_config"])
    except SystemExit as stop:
        if stop.code:  # the arguments do not parse; the reason is on stderr
            raise
    config = yaml.safe_load(shown.getvalue())
    data, net = config["data"], config["model"]["net"]
    if data["num_classes"] is not None:  # a recipe of a network alone leaves it open
        net["init_args"]["num_classes"] = data["num_classes"]
    with torch.device("meta"):
        built = build(net)
    return Job(built, (data["clip_frames"], data["crop_size"], data["crop_size"]), data["batch_size"])


def main() -> int:
    parser = build_parser()
    options, overrides = parser.parse_known_args()
    if bool(options.config) == options.paper:
        parser.error("give a recipe (-c), or --paper")
    try:
        if options.paper:
            tables = published_tables()
        else:
            config = [argument for path in options.config for argument in ("-c", path)]
            jobs = {Path(options.config[-1]).stem: read_job([*config, *overrides])}
            for path in options.against:
                jobs[Path(path).stem] = read_job(["-c", path, *overrides])
            tables = [comparison_table(jobs) if options.against else stage_table(*jobs.values())]
    except (ValueError, OSError) as error:
        print(f"cost: {error}", file=sys.stderr)
        return 1
    for table in tables:
        console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
