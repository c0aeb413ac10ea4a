"""Write the tables of measured numbers in README.md and docs/ from the CSVs in results/.

  python tools/docs_tables.py            writes them
  python tools/docs_tables.py --check    fails if one says something else than its CSV

A table stands between two comments; the first says in YAML how it is made:

    <!-- table: results/demo_runs.csv
    rows: epochs == 20                 # which rows of the CSV, a query of pandas (default: all)
    index: variant                     # one row for each of its values, or of several columns' (default: for each row)
    lines: {plain: variant == 'c2d'}   # or one row for each of these: {line}, and a query
    columns:                           # title -> format over the CSV's columns (default: all but ABOUT)
      network: "{variant}"
      seed 1: {rows: seed == 1, cell: "{top1:.1p}"}     # of which of the row's rows; not more than one
      seed 2: {rows: seed == 2, cell: ["{top1:.1p}", "{error}"]}   # the first format whose values are all there
    -->
    <!-- end -->

Formats are Python's and three more: .1p, a share in percent; ms, milliseconds or seconds; MB, megabytes or gigabytes.
"""

import argparse
import re
import string
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from nlvideo.console import console
from nlvideo.exit_codes import script
from nlvideo.tables import markdown

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ABOUT = ("command", "commit", "device", "date")  # columns that every CSV has
KEYS = {"table", "rows", "index", "lines", "columns"}
TABLE = re.compile(r"<!-- (table: .*?)-->\n(.*?)<!-- end -->", flags=re.DOTALL)


class CellFormatter(string.Formatter):
    """Python's formats, `.1p`, `ms` and `MB`, with a real minus; raises LookupError if a value is missing."""

    def get_value(self, key: int | str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if pd.isna(value := kwargs[key]):
            raise LookupError(key)
        return value

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, str]:
        return self.get_value(field_name, args, kwargs), field_name  # a column's name may hold a point

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec == "ms":
            return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"
        if format_spec == "MB":
            return f"{value:.0f} MB" if value < 1000 else f"{value / 1000:.1f} GB"
        if format_spec.endswith("p"):
            value, format_spec = 100 * value, f"{format_spec[:-1]}f"
        text = format(value, format_spec)
        return text.replace("-", "−") if isinstance(value, (int, float)) else text


def make_table(spec: dict[str, Any]) -> str:
    """Return a table in Markdown.

    Raises:
        ValueError: the table asks for what is not in the CSV, or for one of several rows.
    """
    path = spec["table"]
    if unknown := set(spec) - KEYS:
        raise ValueError(f"{', '.join(sorted(unknown))}: unknown; expected some of {', '.join(sorted(KEYS))}")
    frame = pd.read_csv(ROOT / path)
    frame = frame.query(spec["rows"]) if "rows" in spec else frame
    columns = spec.get("columns") or {name: f"{{{name}}}" for name in frame if name not in ABOUT}
    if "lines" in spec:
        parts = [frame.query(query).assign(line=line) for line, query in spec["lines"].items()]
    elif "index" in spec:
        parts = [part for _, part in frame.groupby(spec["index"], sort=False)]
    else:
        parts = [frame.iloc[[i]] for i in range(len(frame))]
    if not all(len(part) for part in parts) or not parts:
        raise ValueError("no row of the CSV for the table, or for one of its lines")
    cells = [[_cell(part, column) for column in columns.values()] for part in parts]
    return f"{markdown(pd.DataFrame(cells, columns=list(columns)))}\n"


def _cell(rows: pd.DataFrame, column: str | dict[str, Any]) -> str:
    if isinstance(column, str):
        formats, rows = [column], rows.iloc[:1]
    else:
        formats = [column["cell"]] if isinstance(column["cell"], str) else column["cell"]
        rows = rows.query(column["rows"])
        if len(rows) > 1:
            raise ValueError(f"{column['rows']}: {len(rows)} rows for one cell")
    for each in formats if len(rows) else ():
        try:
            return CellFormatter().vformat(each, (), rows.iloc[0].to_dict())
        except LookupError as missing:
            if missing.args[0] not in rows:
                raise ValueError(f"no column {missing.args[0]!r}; there are {', '.join(rows)}") from missing
    return ""


def rewrite(text: str, page: str) -> str:
    """Return the text of a page with its tables made anew.

    Raises:
        ValueError: a table cannot be made; the message names page and table.
    """

    def made(found: re.Match[str]) -> str:
        head = found[1].partition("\n")[0].strip()
        try:
            table = make_table(yaml.safe_load(found[1]))
        except (ValueError, KeyError, SyntaxError, OSError, yaml.YAMLError, pd.errors.UndefinedVariableError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{page}, {head}: {reason}") from error
        return f"<!-- {found[1]}-->\n\n{table}\n<!-- end -->"

    if text.count("<!-- table: ") != len(TABLE.findall(text)):
        raise ValueError(f"{page}: a table has no <!-- end -->")
    return TABLE.sub(made, text)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a table is not its CSV's")
    return parser


@script
def main() -> int:
    check, changed = build_parser().parse_args().check, []
    for page in PAGES:
        before, name = page.read_text(), str(page.relative_to(ROOT))
        after = rewrite(before, name)
        if after != before:
            changed.append(name)
            if not check:
                page.write_text(after)
    if changed:
        console().print(f"{'not as their CSVs say' if check else 'written'}: {', '.join(changed)}")
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
