"""The plan of a sweep, before anything runs: every variant parsed and built on meta, every run with its key."""

import hashlib
import json
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError

from nlvideo.ablation.controls import Control, Searcher
from nlvideo.ablation.runs import Run, seconds
from nlvideo.ablation.step_time import StepTimes
from nlvideo.ablation.variants import Sweep, Variant, as_argument
from nlvideo.configuration import configuration
from nlvideo.cost.count import Cost, count_cost
from nlvideo.cost.tables import NetworkSpec
from nlvideo.models import Backbone
from nlvideo.models.placed_blocks import describe_blocks

# Settings that change neither what a run learns nor how it is tested, so its key leaves them out.
NOT_IN_KEY = {"name", "runs_dir", "overwrite", "ckpt_path", "weights_only", "resume"}
NOT_IN_KEY |= {"checkpoint_minutes", "timeout_minutes"}
NOT_IN_KEY_OF = {
    "data": {"num_workers"},
    "trainer": {"default_root_dir", "enable_model_summary", "enable_progress_bar", "log_every_n_steps", "logger"},
}
# Settings of the test alone: runs that differ in these are trained once.
OF_THE_TEST = {
    "data": {"test", "protocol", "num_clips", "num_crops", "test_crop_size"},
    "model": {"views_per_forward", "inference_dtype", "keep_view_scores"},
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
    """A sweep whose variants are parsed and built.

    Attributes:
        rows: the variants, then their controls.
        controls: which row is the control of which variant.
    """

    sweep: Sweep
    rows: tuple[Row, ...]
    controls: tuple[Control, ...] = ()

    @property
    def baseline(self) -> Row:
        return next(row for row in self.rows if row.variant.name == self.sweep.baseline)


def make_plans(
    sweeps: Sequence[Sweep], base: Sequence[str], seeds: Sequence[int], step_times: StepTimes | None = None
) -> list[Plan]:
    """Return the plans of several sweeps of one base, see `make_plan`.

    Raises:
        ValueError: see `make_plan`; or the base itself does not parse.
    """
    configuration(base)  # so that its own mistakes are not blamed on the first variant
    return [make_plan(sweep, base, seeds, step_times) for sweep in sweeps]


def make_plan(sweep: Sweep, base: Sequence[str], seeds: Sequence[int], step_times: StepTimes | None = None) -> Plan:
    """Return the plan of a sweep.

    Args:
        sweep: the variants.
        base: arguments of ``nlvideo fit`` that all variants share, ``-c`` and overrides; a variant's own win.
        seeds: each variant has a run for each.
        step_times: measures networks for controls that are to take the time of a variant.

    Raises:
        ValueError: a variant does not parse, or its network cannot be built or has no controls; the message names it.
    """
    rows = [_row(sweep, variant, base, seeds) for variant in sweep.variants]
    if sweep.each_position:
        net = NetworkSpec.of(Plan(sweep, tuple(rows)).baseline.config).net
        rows += [_row(sweep, variant, base, seeds) for variant in _positions(sweep, net)]
    plan = Plan(sweep, tuple(rows))
    if sweep.controls:
        plan = _with_controls(plan, base, seeds, step_times)
    return _with_stops(plan) if sweep.stop else plan


def _with_stops(plan: Plan) -> Plan:
    """Let each run of the other rows know the rule, and the baseline's run of its seed."""
    baseline, rows = plan.baseline, []
    for row in plan.rows:
        pairs = zip(row.runs, baseline.runs, strict=True)
        runs = row.runs if row is baseline else [replace(run, stop=plan.sweep.stop, baseline=its) for run, its in pairs]
        rows.append(replace(row, runs=tuple(runs)))
    return replace(plan, rows=tuple(rows))


def _with_controls(plan: Plan, base: Sequence[str], seeds: Sequence[int], step_times: StepTimes | None) -> Plan:
    sweep, baseline = plan.sweep, plan.baseline.variant
    others = [row for row in plan.rows if row.variant != baseline]
    measures = sweep.controls
    if not isinstance(measures, dict):
        measures = {row.variant.name: measures for row in others}
    if unknown := measures.keys() - {row.variant.name for row in others}:
        names = ", ".join(row.variant.name for row in others)
        raise ValueError(
            f"sweep {sweep.name}, controls: {min(unknown)!r} is no variant to match; expected some of {names}"
        )
    try:
        searcher = Searcher(plan.baseline.config, step_times)
    except ValueError as error:
        raise ValueError(f"sweep {sweep.name}, {error}") from error
    controls = [
        searcher.find(row.variant.name, row.config, measure, baseline.name)
        for row in others
        for measure in measures.get(row.variant.name, ())
    ]
    variants = {}
    for control in controls:
        changed = tuple((f"model.net.{key}", as_argument(value)) for key, value in control.settings.items())
        if changed:
            variants[control.name] = Variant(control.name, baseline.overrides + changed)
    rows = [_row(sweep, variant, base, seeds) for variant in variants.values()]
    return Plan(sweep, (*plan.rows, *rows), tuple(controls))


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
    max_time = [f"--trainer.max_time={sweep.max_time}"] if sweep.max_time else []
    arguments = [*base, *max_time, *variant.arguments()]
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
    """Return ten digits that change with every setting on which the training can depend, and four for the test's."""
    training = {name: value for name, value in config.items() if name not in NOT_IN_KEY}
    for section, names in NOT_IN_KEY_OF.items():
        training[section] = {name: value for name, value in config[section].items() if name not in names}
    test = {}
    for section, names in OF_THE_TEST.items():
        test[section] = {name: training[section][name] for name in names}
        training[section] = {name: value for name, value in training[section].items() if name not in names}
    return f"{_digest(training)[:10]}-{_digest(test)[:4]}"


def _digest(settings: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def all_runs(plans: Sequence[Plan]) -> list[Run]:
    """Return each run once, even if several sweeps have it; all variants with the first seed come first, and of these
    the baselines. A run that one of the sweeps does not stop is not stopped."""
    pairs = [(plan, row) for plan in plans for row in plan.rows]
    rows = [row for _, row in sorted(pairs, key=lambda pair: pair[1] is not pair[0].baseline)]
    found: dict[str, Run] = {}
    for runs in zip(*(row.runs for row in rows), strict=True):
        for run in runs:
            if run.key not in found or run.stop is None:
                found[run.key] = run
    return list(found.values())


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
