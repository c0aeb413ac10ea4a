"""tools/bench/nonlocal.py on tiny settings."""

import runpy
import sys

import pandas as pd

from tests.conftest import ROOT

BENCH = ROOT / "tools" / "bench"


def run(monkeypatch, script, *arguments):
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.delitem(sys.modules, "peers", raising=False)
    monkeypatch.setattr(sys, "argv", [str(BENCH / script), *map(str, arguments)])
    runpy.run_path(str(BENCH / script), run_name="__main__")


def test_every_row_is_measured_or_says_why_not(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "mmcv", None)
    monkeypatch.setitem(sys.modules, "slowfast", None)
    output = tmp_path / "new" / "rows.csv"
    run(monkeypatch, "nonlocal.py", "--tiny", "--repeats=1", "--cpu-time", f"--output={output}")
    table = pd.read_csv(output)
    assert table.groupby("what").size().to_dict() == {"operation": 9, "block": 2 * (4 * 2 + 2 * 2)}
    missing = table[table.whose.isin(["mmcv", "SlowFast"])]
    assert missing.error.str.startswith("ModuleNotFoundError: ").all()
    measured = table.drop(missing.index)
    assert (measured.ms > 0).all()
    assert measured.error.isna().all()
    ours = table[(table.what == "block") & (table.whose == "nlvideo")].set_index("function")
    assert ours["fastest peer / nlvideo"].notna().groupby("function").all().to_dict() == {
        "gaussian": False,
        "embedded_gaussian": True,
        "dot_product": True,
        "concatenation": False,
    }
    for column in ("command", "commit", "device", "date", "clock", "dtype"):
        assert table[column].notna().all(), column
    assert "pytorchvideo" in capsys.readouterr().out


def test_a_peer_that_fails_is_a_row_with_its_error(monkeypatch, tmp_path):
    def fails(*_, **__):
        raise RuntimeError("not today\nnor tomorrow")

    monkeypatch.setattr("pytorchvideo.layers.nonlocal_net.create_nonlocal", fails)
    monkeypatch.setattr("torch.nn.functional.scaled_dot_product_attention", fails)
    output = tmp_path / "rows.csv"
    run(monkeypatch, "nonlocal.py", "--tiny", "--repeats=1", f"--output={output}")
    table = pd.read_csv(output).set_index("whose")
    blocks = table[table.what == "block"]
    assert set(blocks.loc["pytorchvideo"].error) == {"RuntimeError: not today"}
    assert table.loc["SDPA"].error == "RuntimeError: not today"
    assert (table.loc["nlvideo"].ms > 0).all()
