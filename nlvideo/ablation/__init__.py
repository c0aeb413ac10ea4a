"""Ablations: variants of a configuration, trained, tested and compared in one table.

variants.py, grid.py          what is compared, from a YAML file or from --set
controls.py, step_time.py     the baseline made deeper or wider, until it costs as much as a variant
plan.py                       every variant built on meta; every run and its key
runs.py, execute.py           a run's folder and locks; trains and tests, each run once
launch.py                     starts the commands
results.py, csv_files.py      what came out
tables.py, control_tables.py, plots.py, cost_plot.py, report.py        and how it is shown
"""
