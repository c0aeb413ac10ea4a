"""Ablations: variants of a configuration, trained, tested and compared in one table.

variants.py   what is compared            plan.py     every variant built on meta; every run and its key
runs.py       a run's folder and locks    execute.py  trains and tests, each run once; launch.py: starts the commands
results.py    what came out               tables.py, plots.py, report.py   and how it is shown
"""
