"""Ablations: variants of a configuration, trained and tested, in one table.

variants.py   what is compared            plan.py     every variant built on meta; every run and its key
runs.py       a run's folder              claims.py   who runs what
launch.py     how a command is started    execute.py  trains and tests, each run once; slurm.py: on a cluster
results.py    what came out               tables.py, plots.py, report.py, wandb_group.py   and how it is shown
"""

from nlvideo.ablation.execute import Runner
from nlvideo.ablation.launch import make_resources
from nlvideo.ablation.plan import Plan, all_runs, make_plans, parse_seeds, plan_table, seconds_per_work, take_shard
from nlvideo.ablation.report import FILES, log_tables, result_tables, write_report
from nlvideo.ablation.variants import check_common, read_sweeps, sweep_of_settings

__all__ = [
    "FILES",
    "Plan",
    "Runner",
    "all_runs",
    "check_common",
    "log_tables",
    "make_plans",
    "make_resources",
    "parse_seeds",
    "plan_table",
    "read_sweeps",
    "result_tables",
    "seconds_per_work",
    "sweep_of_settings",
    "take_shard",
    "write_report",
]
