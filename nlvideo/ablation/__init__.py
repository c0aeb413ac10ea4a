"""Ablations: variants of a configuration, trained, tested and compared in one table.

variants.py   what is compared            plan.py     every variant built on meta; every run and its key
runs.py       a run's folder              locks.py    one process at a time has a run
launch.py     how a command is started    execute.py  trains and tests, each run once; slurm.py: on a cluster
results.py    what came out               tables.py, plots.py, report.py, wandb_group.py   and how it is shown
"""
