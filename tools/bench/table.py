"""Print CSVs of results as Markdown tables, without the columns that say how all of their rows were measured.

python tools/bench/table.py results/gpu_*.csv
"""

import argparse
from pathlib import Path

import pandas as pd


def table(path: Path) -> str:
    rows = pd.read_csv(path)
    rows = rows.drop(columns="command").dropna(axis=1, how="all")
    same = [name for name in rows if len(rows) > 1 and rows[name].nunique(dropna=False) == 1]
    about = ", ".join(f"{name} {rows[name].iloc[0]}" for name in same)
    return f"{path.name}: {about}\n\n{rows.drop(columns=same).astype(object).fillna('').to_markdown(index=False)}\n"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", nargs="+", type=Path)
    return parser


if __name__ == "__main__":
    for csv in build_parser().parse_args().csv:
        print(table(csv))
