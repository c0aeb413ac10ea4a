"""``nlvideo ablate``: train and test a network in several variants and compare the results: tables, plots, LaTeX.

nlvideo ablate -c configs/demo.yaml --sweep configs/ablations/demo -o runs/demo_tables --trainer.max_epochs 8
nlvideo ablate -c configs/demo.yaml --set 'model.net.after.at=none,{res3: [0, 1], res4: [1]}' -o runs/where
nlvideo ablate -c configs/demo.yaml --sweep mine.yaml --seeds 0,1,2 --trainer.max_epochs 5 -o runs/mine

Given again, the same command goes on where it was stopped: finished runs stay, an interrupted one is resumed, a failed
one is tried again. Several of them may work on one folder at a time. Other options are those of `nlvideo fit`, and hold
for all variants that do not set them themselves.
"""

import argparse
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path

from nlvideo.imports import long_imports


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nlvideo ablate",
        description=__doc__.removeprefix("``nlvideo ablate``: "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("-c", "--config", action="append", required=True, help="a YAML recipe; several are merged")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--sweep", action="append", help="a sweep's YAML file, or a folder of them; a table each")
    what.add_argument(
        "--set",
        action="append",
        metavar="KEY=VALUE,VALUE",
        help="the values that a key of the command line takes, the baseline first; several --set give the grid",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the runs and the tables")
    parser.add_argument("--seeds", default="0", help="comma-separated; each variant runs with each (default: 0)")
    parser.add_argument(
        "--controls",
        metavar="MEASURE,MEASURE",
        help="also run, for each variant, the baseline made deeper or wider until it equals it in: params, macs, time",
    )
    parser.add_argument(
        "--stop",
        metavar="EPOCHS,POINTS",
        help="give a variant up if its validation after EPOCHS or later is POINTS below the baseline's of that epoch",
    )
    parser.add_argument("--plan", action="store_true", help="check every variant, print what would run, and end")
    parser.add_argument("--report-only", action="store_true", help="make tables and pictures of what is finished")
    parser.add_argument("--fail-fast", action="store_true", help="start no more runs after one has failed")
    parser.add_argument("--jobs", type=int, help="runs side by side (default: one, or one for each of --devices)")
    parser.add_argument("--devices", default="", help="GPUs, as in 0,1,2,3, divided among the jobs (default: all)")
    parser.add_argument("--wandb", metavar="PROJECT", help="to Weights & Biases, instead of the base's loggers")
    return parser


def main(args: list[str] | None = None) -> int:
    """Run the command and return its exit status: 1 if a run has failed.

    Args:
        args: the command line; None takes sys.argv's.
    """
    options, overrides = build_parser().parse_known_args(args)

    # Late: --help and a mistaken option need not wait for torch.
    with long_imports():
        import yaml

        from nlvideo import recipes
        from nlvideo.ablation.control_tables import plan_lines, rich_controls
        from nlvideo.ablation.controls import check_measures
        from nlvideo.ablation.execute import Runner
        from nlvideo.ablation.grid import sweep_of_settings
        from nlvideo.ablation.launch import make_resources
        from nlvideo.ablation.plan import all_runs, make_plans, parse_seeds, seconds_per_work
        from nlvideo.ablation.report import FILES, log_tables, write_report
        from nlvideo.ablation.runs import is_done
        from nlvideo.ablation.step_time import StepTimes
        from nlvideo.ablation.tables import duration, plan_table, rich_table
        from nlvideo.ablation.variants import check_common, read_sweeps, stop_rule
        from nlvideo.console import console

    check_common(overrides)
    output, base = options.output, [argument for path in options.config for argument in ("-c", path)] + overrides
    if options.wandb:
        base += ["--trainer.logger=WandbLogger", f"--trainer.logger.project={options.wandb}"]
    sweeps = (
        [sweep_of_settings(options.set, output.name)] if options.set else read_sweeps(map(recipes.find, options.sweep))
    )
    if options.report_only and not output.is_dir():
        raise ValueError(f"{output}: no such folder; --report-only is for what has been run there")
    if options.controls is not None:
        measures = check_measures(options.controls.split(","), "--controls")
        sweeps = [replace(sweep, controls=measures) for sweep in sweeps]
    if options.stop is not None:
        epochs, _, points = options.stop.partition(",")
        given = {"after_epochs": yaml.safe_load(epochs), "below_baseline": yaml.safe_load(points)}
        sweeps = [replace(sweep, stop=stop_rule(given, f"--stop {options.stop}")) for sweep in sweeps]
    plans = make_plans(sweeps, base, parse_seeds(options.seeds), StepTimes(output / "step_times.json"))
    runs = all_runs(plans)
    left = [run for run in runs if not is_done(run, output)]
    if not options.report_only:
        rate = seconds_per_work(runs, output)
        for plan in plans:
            console().print(plan_table(plan, output, rate))
            for line in plan_lines(plan):
                console().print(line, highlight=False)
        time = "unknown until one is finished" if rate is None else duration(sum(run.work for run in left) * rate)
        console().print(f"{len(left)} of {len(runs)} runs to do; time one after another: {time if left else 'none'}")
    if options.plan:
        return 0

    output.mkdir(parents=True, exist_ok=True)
    if left and not options.report_only:
        resources = make_resources(options.jobs, [device for device in options.devices.split(",") if device])
        report = partial(write_report, plans, output)
        Runner(left, output, resources, fail_fast=options.fail_fast, after_each=report).work()
    panels = write_report(plans, output)
    for panel in panels:
        console().print(rich_table(*panel))
        if panel[0].controls:
            console().print(rich_controls(panel[0], output))
    if not options.report_only:
        log_tables(panels, output)
    controls = ", controls.csv" if any(plan.controls for plan in plans) else ""
    console().print(f"written to {output}: {FILES}{controls}; and a folder for each run")
    print(f"next: {shlex.join(['nlvideo', 'report', str(output), '-o', str(output / 'report.html')])}")
    return 0 if options.report_only or all(is_done(each, output) for each in runs) else 1
