"""Tables of measured numbers in the docs: as the CSVs of results/ say, which say how each row was measured."""

import pandas as pd
import pytest

from tests.conftest import ROOT
from tools import docs_tables
from tools.docs_tables import ABOUT, PAGES, CellFormatter, rewrite

CSVS = sorted((ROOT / "results").glob("*.csv"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_pages_tables_are_those_of_their_csvs(page):
    text = page.read_text()
    assert rewrite(text, page.name) == text, "run python tools/docs_tables.py"


@pytest.mark.parametrize("path", CSVS, ids=lambda path: path.name)
def test_every_row_says_how_it_was_measured(path):
    rows = pd.read_csv(path, dtype=str)
    assert set(ABOUT) <= set(rows), f"{path.name} needs the columns {', '.join(ABOUT)}"
    assert rows[list(ABOUT)].notna().all(axis=None)
    assert rows["commit"].str.fullmatch(r"[0-9a-f]{7,40}").all()
    assert rows["date"].str.fullmatch(r"\d{4}-\d\d-\d\d").all()


SPEC = """<!-- table: results/runs.csv
rows: epochs == 20
index: net
columns:
  network: "{net}"
  seed 0: {rows: seed == 0, cell: ["{top1:.1p} in {ms:ms}", "{error}"]}
  seed 1: {rows: seed == 1, cell: ["{top1:.1p} in {ms:ms}", "{error}"]}
-->
<!-- end -->"""

MADE = """
| network   | seed 0         | seed 1        |
|:----------|:---------------|:--------------|
| plain     | 21.2 in 900 ms |               |
| nl        | 97.5 in 1.5 s  | out of memory |
"""


@pytest.fixture
def runs(tmp_path, monkeypatch):
    rows = [
        ("plain", 20, 0, 0.2125, 900, None),
        ("nl", 20, 0, 0.975, 1500, None),
        ("nl", 20, 1, None, None, "out of memory"),
        ("nl", 5, 0, 0.5, 400, None),
    ]
    (tmp_path / "results").mkdir()
    frame = pd.DataFrame(rows, columns=["net", "epochs", "seed", "top1", "ms", "error"])
    frame.assign(command="x", commit="abcdef0", device="CPU", date="2026-12-01").to_csv(
        tmp_path / "results" / "runs.csv", index=False
    )
    monkeypatch.setattr(docs_tables, "ROOT", tmp_path)


def test_a_table_by_hand(runs):
    page = f"before\n\n{SPEC}\n\nafter\n"
    made = rewrite(page, "page.md")
    assert f"-->\n{MADE}\n<!-- end -->\n\nafter\n" in made
    assert made.startswith("before\n\n<!-- table: results/runs.csv\nrows: epochs == 20\n")
    assert rewrite(made, "page.md") == made
    assert rewrite(made.replace("97.5", "98.5"), "page.md") == made


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("{net}", "{name}"), "no column 'name'; there are net, epochs, seed"),
        (("rows: seed == 0", "rows: seed < 2"), "seed < 2: 2 rows for one cell"),
        (("epochs == 20", "epochs == 7"), "no row of the CSV"),
        (("epochs == 20", "epoch == 20"), "name 'epoch' is not defined"),
        (("index: net", "indx: net"), "indx: unknown; expected some of columns, index"),
        (("runs.csv", "gone.csv"), "No such file"),
        (("<!-- end -->", ""), "a table has no <!-- end -->"),
    ],
)
def test_what_is_not_in_the_csv_is_a_line_that_names_the_table(change, words, runs):
    with pytest.raises(ValueError, match=words) as error:
        rewrite(SPEC.replace(*change), "page.md")
    assert str(error.value).startswith("page.md")


def test_formats():
    text = CellFormatter().vformat(
        "{a:+.1p} {a.b:MB} {c:.2f} {d}", (), {"a": -0.0521, "a.b": 2520.8, "c": -1, "d": "x-y"}
    )
    assert text == "−5.2 2.5 GB −1.00 x-y"
