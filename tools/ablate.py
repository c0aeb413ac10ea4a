"""Trains and tests a network in several variants and puts the results side by side.

python tools/ablate.py -c configs/demo.yaml --set 'model.net.after.at=none,{res3: [0, 1], res4: [1]}' -o runs/where
"""

import argparse
import sys
from pathlib import Path

from nlvideo.ablation import parse_variants, print_table, run_sweep


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-c", "--config", action="append", required=True, help="a YAML recipe; several are merged")
    parser.add_argument(
        "--set",
        action="append",
        required=True,
        metavar="KEY=VALUE,VALUE",
        help="the values that a key of the command line takes; several --set give the grid",
    )
    parser.add_argument("--seeds", default="0", help="comma-separated (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the runs and the table")
    return parser


def main() -> int:
    options = build_parser().parse_args()
    try:
        seeds = [int(seed) for seed in options.seeds.split(",")]
        options.output.mkdir(parents=True, exist_ok=True)
        table = run_sweep(options.config, parse_variants(options.set), seeds, options.output)
    except ValueError as error:
        print(f"ablate: {error}", file=sys.stderr)
        return 1
    print_table(table)
    print(f"written to {options.output}: results.csv, results.md, results.png, and a folder for each run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
