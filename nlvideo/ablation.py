"""Runs a sweep: each variant is trained and tested in its own folder; their results become one table.

A variant is overrides of the command line's keys and nothing else.
"""

import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
import yaml
from rich.table import Table

from nlvideo.checkpoint import build
from nlvideo.console import console
from nlvideo.cost import count_cost
from nlvideo.plots import plot_variants
from nlvideo.run import write_atomically


@dataclass(frozen=True)
class Variant:
    """Overrides (key, value as on the command line) and a name made of the values."""

    overrides: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        return ", ".join(value for _, value in self.overrides)

    @property
    def folder(self) -> str:
        kept = "".join(c if c.isalnum() else "-" for c in self.name)
        return "-".join(part for part in kept.split("-") if part)

    def arguments(self) -> list[str]:
        return [f"--{key}={value}" for key, value in self.overrides]


def parse_variants(settings: Sequence[str]) -> list[Variant]:
    """The grid of ``key=value,value,..`` settings.

    Values are separated by commas outside of brackets: ``model.net.after.at=none,{res3: 2, res4: 3}`` has two.

    Raises:
        ValueError: a setting is not of that form.
    """
    axes = []
    for setting in settings:
        key, equals, values = setting.partition("=")
        try:
            parsed = yaml.safe_load(f"[{values}]")
        except yaml.YAMLError:
            parsed = None
        if not equals or not key or not parsed:
            raise ValueError(f"--set {setting!r}: expected KEY=VALUE,VALUE,.. such as model.net.after.at=none,nl5")
        axes.append([(key, _as_argument(value)) for value in parsed])
    return [Variant(overrides) for overrides in itertools.product(*axes)]


def _as_argument(value) -> str:
    return (
        value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True, width=1000).split("\n")[0]
    )


def run_sweep(configs: Sequence[str], variants: Sequence[Variant], seeds: Sequence[int], folder: Path) -> pd.DataFrame:
    """Trains and tests each variant with each seed, and writes results.csv, results.md and results.png.

    A run that has a test.json already is not repeated. A run that fails ends the sweep: what is finished stays.

    Returns:
        A row for each run: variant, seed, clip_top1, video_top1, .., params, gmacs, seconds.

    Raises:
        ValueError: a run failed; its own words are on stderr.
    """
    rows = []
    for variant, seed in itertools.product(variants, seeds):
        run = folder / f"{variant.folder}-seed{seed}"
        if not (run / "test.json").is_file():
            console().rule(f"{variant.name}, seed {seed}")
            config = [argument for path in configs for argument in ("-c", path)]
            _nlvideo(
                "fit",
                *config,
                *variant.arguments(),
                f"--runs_dir={run.parent}",
                f"--name={run.name}",
                f"--seed_everything={seed}",
                "--overwrite=true",
            )
            _nlvideo("test", "-c", str(run / "config.yaml"), f"--ckpt_path={run / 'last.ckpt'}")
        rows.append({"variant": variant.name, "seed": seed, **collect(run)})
    table = pd.DataFrame(rows)
    write_report(table, folder)
    return table


def _nlvideo(*arguments: str) -> None:
    status = subprocess.run([sys.executable, "-m", "nlvideo", *arguments], check=False).returncode
    if status != 0:
        raise ValueError(f"nlvideo {' '.join(arguments)} ended with status {status}; its own words are above")


def collect(run: Path) -> dict[str, float]:
    """The numbers of one finished run, from the files in its folder."""
    test = json.loads((run / "test.json").read_text())
    config = yaml.safe_load((run / "config.yaml").read_text())
    data, net = config["data"], config["model"]["net"]
    net["init_args"]["num_classes"] = data["num_classes"]
    with torch.device("meta"):
        cost = count_cost(build(net), (data["clip_frames"], data["crop_size"], data["crop_size"]))
    return {
        **{f"{level}_{name}": test[level][name] for level in ("clip", "video") for name in ("top1", "top5")},
        "videos": f"{test['num_scored']} of {test['num_videos']}",
        "params": cost.params,
        "gmacs": (cost.macs + cost.norm_macs) / 1e9,
        "train_seconds": json.loads((run / "fit.json").read_text())["seconds"],
        "test_seconds": test["seconds"],
    }


def write_report(table: pd.DataFrame, folder: Path) -> None:
    write_atomically(folder / "results.csv", table.to_csv(index=False))
    header, rows = summarise(table)
    lines = [header, ["---"] * len(header), *rows]
    write_atomically(folder / "results.md", "".join(f"| {' | '.join(line)} |\n" for line in lines))
    plot_variants(table, folder / "results.png")


def summarise(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Header and a row for each variant, the mean over its seeds; with several seeds, each seed's accuracy too."""
    header = [
        "variant",
        "clip top-1 %",
        "video top-1 %",
        "parameters",
        "GMACs",
        "train s",
        "test s",
        "videos",
    ]
    rows = []
    for variant, runs in table.groupby("variant", sort=False):
        first = runs.iloc[0]
        rows.append(
            [
                variant,
                _mean_and_each(100 * runs["clip_top1"]),
                _mean_and_each(100 * runs["video_top1"]),
                f"{first['params']:,}",
                f"{first['gmacs']:.3f}",
                f"{runs['train_seconds'].mean():.0f}",
                f"{runs['test_seconds'].mean():.0f}",
                first["videos"],
            ]
        )
    return header, rows


def _mean_and_each(values: pd.Series) -> str:
    if len(values) == 1:
        return f"{values.iloc[0]:.1f}"
    return f"{values.mean():.1f} ({', '.join(f'{value:.1f}' for value in values)})"


def print_table(table: pd.DataFrame) -> None:
    header, rows = summarise(table)
    shown = Table(*header)
    for row in rows:
        shown.add_row(*row)
    console().print(shown)
