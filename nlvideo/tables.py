"""Data frames of text as tables: for the terminal, and in Markdown."""

import pandas as pd
from rich.table import Table


def rich_table(frame: pd.DataFrame, *, title: str | None = None, numbers: bool = False) -> Table:
    """Return a table for the terminal. Cells of all columns but the first are wrapped if it is too narrow.

    Args:
        frame: of str.
        title: above the table.
        numbers: all columns but the first are numbers, to the right.
    """
    table = Table(title=title)
    for i, name in enumerate(frame.columns):
        table.add_column(name, justify="right" if numbers and i else "left", no_wrap=i == 0)
    for row in frame.itertuples(index=False):
        table.add_row(*row)
    return table


def markdown(frame: pd.DataFrame) -> str:
    """Return a table in Markdown."""
    return frame.replace({r"\|": r"\\|"}, regex=True).to_markdown(index=False, disable_numparse=True)
