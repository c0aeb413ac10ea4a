"""The plan of a sweep, before anything runs: every variant parsed and built on meta, every run with its key."""

import hashlib
import json
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError

from nlvideo.ablation.runs import Run, seconds
from nlvideo.ablation.variants import Sweep, Variant
from nlvideo.configuration import configuration
from nlvideo.cost.count import Cost, count_cost
from nlvideo.cost.tables import NetworkSpec
from nlvideo.models import Backbone
from nlvideo.models.placed_blocks import describe_blocks

# Settings that do not change what a run learns, so its key leaves them out.
NOT_IN_KEY = {"name", "runs_dir", "overwrite", "ckpt_path", "weights_only", "resume"}
NOT_IN_KEY |= {"checkpoint_minutes", "timeout_minutes"}
NOT_IN_KEY_OF = {
    "data": {"num_workers"},
    "trainer": {"default_root_dir", "enable_model_summary", "enable_progress_bar", "log_every_n_steps", "logger"},
}


@dataclass(frozen=True)
class Row:
    """A variant: its resolved configuration, the attention blocks in its network, its cost, and a run for each seed."""

    variant: Variant
    config: dict[str, Any]
    blocks: str
    cost: Cost
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Plan:
    """A sweep whose variants are parsed and built."""

    sweep: Sweep
    rows: tuple[Row, ...]

    @property
    def baseline(self) -> Row:
        return next(row for row in self.rows if row.variant.name == self.sweep.baseline)


def make_plans(sweeps: Sequence[Sweep], base: Sequence[str], seeds: Sequence[int]) -> list[Plan]:
    """Return the plans of several sweeps of one base.

    Raises:
        ValueError: see `make_plan`; or the base itself does not parse.
    """
    configuration(base)  # so that its own mistakes are not blamed on the first variant
    return [make_plan(sweep, base, seeds) for sweep in sweeps]


def make_plan(sweep: Sweep, base: Sequence[str], seeds: Sequence[int]) -> Plan:
    """Return the plan of a sweep.

    Args:
        sweep: the variants.
        base: arguments of ``nlvideo fit`` that all variants share, ``-c`` and overrides; a variant's own win.
        seeds: each variant has a run for each.

    Raises:
        ValueError: a variant does not parse or its network cannot be built; the message names it.
    """
    rows = [_row(sweep, variant, base, seeds) for variant in sweep.variants]
    if sweep.each_position:
        net = NetworkSpec.of(Plan(sweep, tuple(rows)).baseline.config).net
        rows += [_row(sweep, variant, base, seeds) for variant in _positions(sweep, net)]
    return Plan(sweep, tuple(rows))


def _positions(sweep: Sweep, net: Backbone) -> list[Variant]:
    depths = {stage: len(blocks) for stage, blocks in net.residual_blocks().items()}
    for key, stages in sweep.each_position:
        for stage in stages:
            if stage not in depths:
                raise ValueError(
                    f"sweep {sweep.name}, each_position, {key}: the base network has no residual blocks in {stage!r}; "
                    f"expected some of {', '.join(depths)}"
                )
    return [
        Variant(f"{stage}[{i}]", ((key, f"{{{stage}: [{i}]}}"),))
        for key, stages in sweep.each_position
        for stage in stages
        for i in range(depths[stage])
    ]


def _row(sweep: Sweep, variant: Variant, base: Sequence[str], seeds: Sequence[int]) -> Row:
    arguments = [*base, *variant.arguments()]
    try:
        config = configuration(arguments)
        network = NetworkSpec.of(config)
        cost = count_cost(network.net, network.clip)
    except (ValueError, RuntimeError, ArgumentError) as error:  # torch's own, for a clip too small for the network
        reason = " ".join(str(error).split())
        raise ValueError(f"sweep {sweep.name}, variant {variant.name}: {reason}") from error
    runs = []
    for seed in seeds:
        runs.append(
            Run(
                key=run_key({**config, "seed_everything": seed}),
                label=f"{sweep.name}: {variant.name}, seed {seed}",
                group=sweep.name,
                slug=f"{_slug(variant.name)}-seed{seed}",
                arguments=(*arguments, f"--seed_everything={seed}"),
                work=cost.gmacs * max(config["trainer"]["max_epochs"] or 1, 1),
                sets_workers=config["data"]["num_workers"] is not None,
            )
        )
    return Row(variant, config, describe_blocks(network.net), cost, tuple(runs))


def _slug(name: str) -> str:
    return re.sub(r"[^0-9A-Za-z_.]+", "-", name).strip("-")[:60]


def run_key(config: dict[str, Any]) -> str:
    """Return ten digits that change with every setting on which a result can depend."""
    kept = {name: value for name, value in config.items() if name not in NOT_IN_KEY}
    for section, names in NOT_IN_KEY_OF.items():
        kept[section] = {name: value for name, value in config[section].items() if name not in names}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:10]


def all_runs(plans: Sequence[Plan]) -> list[Run]:
    """Return each run once, even if several sweeps have it; all variants with the first seed come first."""
    by_seed = zip(*(row.runs for plan in plans for row in plan.rows), strict=True)
    return list({run.key: run for runs in by_seed for run in runs}.values())


def parse_seeds(seeds: str) -> list[int]:
    """Return the seeds of a text such as ``0,1,2``.

    Raises:
        ValueError: not whole numbers, or one twice.
    """
    numbers = seeds.split(",")
    if not all(number.strip().isdecimal() for number in numbers) or len(set(numbers)) < len(numbers):
        raise ValueError(f"--seeds {seeds!r}: expected distinct whole numbers such as 0,1,2")
    return [int(number) for number in numbers]


def seconds_per_work(runs: Sequence[Run], output: Path) -> float | None:
    """Return the median time of the finished runs for a unit of `Run.work`; None if none is finished."""
    times = [(run, seconds(run.folder(output))) for run in runs]
    rates = [(time["train"] + time["test"]) / run.work for run, time in times if time]
    return statistics.median(rates) if rates else None
