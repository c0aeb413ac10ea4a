"""Data frames of text as tables: for the terminal, and in Markdown."""

import pandas as pd
from rich.table import Table


def rich_table(frame: pd.DataFrame, *, title: str | None = None, numbers: bool = False) -> Table:
    """Return a table for the terminal; the first column is not wrapped.

    Args:
        frame: of str.
        title: above the table.
        numbers: all columns but the first are numbers: to the right, and not wrapped.
    """
    table = Table(title=title)
    for i, name in enumerate(frame.columns):
        right = numbers and i > 0
        table.add_column(name, justify="right" if right else "left", no_wrap=numbers or i == 0)
    for row in frame.itertuples(index=False):
        table.add_row(*row)
    return table


def markdown(frame: pd.DataFrame) -> str:
    """Return a table in Markdown."""
    return frame.replace({r"\|": r"\\|"}, regex=True).to_markdown(index=False, disable_numparse=True)
