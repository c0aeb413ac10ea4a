"""What is printed is plain text: brackets in the names of files and classes are no markup, colons no emoji."""

import ast
import io
import sys

import pandas as pd
import pytest
import rich
from rich.table import Table

from nlvideo.__main__ import main
from nlvideo.console import PLAIN, console, track
from tests.conftest import ROOT

BRACKETS = "Putting [something] on [/something] :cat:"


def test_lines_tables_and_rules_show_names_as_they_are(capsys):
    table = Table("[name]", title="[title]", caption="[caption]")
    table.add_row(BRACKETS)
    console().print(table)
    console().print(BRACKETS)
    console().rule("[rule]")
    shown = capsys.readouterr().out
    assert shown.count(BRACKETS) == 2
    assert all(word in shown for word in ("[name]", "[title]", "[caption]", "[rule]"))


def test_a_terminal_shows_names_as_they_are(capsys, monkeypatch):
    """There, console() is rich's global console, and `track` shows its description."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    rich.reconfigure(**PLAIN)  # Lightning's progress bar does so
    assert list(track([1, 2], BRACKETS)) == [1, 2]
    console().print(BRACKETS)
    assert terminal.getvalue().count(BRACKETS) >= 2


def test_only_the_console_module_makes_consoles_and_progress_bars():
    makers = {"Console", "Progress", "track", "print", "get_console", "console", "progress"}
    for file in [*(ROOT / "nlvideo").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                assert not [alias for alias in node.names if alias.name.startswith("rich")] or file.name == "console.py"
            elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "rich":
                assert file.name == "console.py" or not makers & {alias.name for alias in node.names}, file


@pytest.fixture(scope="module")
def bracketed(tmp_path_factory, visitors):
    """A manifest of the small set under names with brackets, one of its videos unreadable."""
    folder = tmp_path_factory.mktemp("names")
    rows = pd.read_csv(visitors / "val.csv")
    for i, path in enumerate(rows["path"]):
        rows.loc[i, "path"] = f"clip [dQw4w9WgXcQ] {i}.mp4"
        (folder / rows.loc[i, "path"]).symlink_to((visitors / path).resolve())
    (folder / "clip [bad] :cat:.mp4").write_bytes(b"no video" * 100)
    rows.loc[len(rows)] = {"path": "clip [bad] :cat:.mp4", "label": 0}
    rows.to_csv(folder / "val.csv", index=False)
    (folder / "classes.txt").write_text("".join(f"[class] {i} :cat:\n" for i in range(4)))
    return folder


def test_every_command_prints_names_as_they_are(bracketed, tiny, tmp_path, capsys, run_tool):
    manifests = [f"--data.train={bracketed / 'val.csv'}", f"--data.val={bracketed / 'val.csv'}"]
    training = ["--trainer.max_epochs=1", "--data.batch_size=8", "--data.max_failed=1"]
    fit = ["fit", *tiny, *manifests, *training, f"--runs_dir={tmp_path}"]
    assert main([*fit, "--name=run [nl]"]) == 0
    assert "run [nl]" in capsys.readouterr().out

    folder = tmp_path / "run [nl]"
    checkpoint = f"--ckpt_path={folder / 'last.ckpt'}"
    assert main(["test", "-c", str(folder / "config.yaml"), checkpoint]) == 0
    printed = unwrapped(capsys.readouterr().out)
    assert "run [nl]/test.json" in printed
    assert "clip [bad] :cat:.mp4" in printed

    assert main(["predict", str(bracketed / "clip [dQw4w9WgXcQ] 0.mp4"), checkpoint, "--num_clips=1"]) == 0
    shown = unwrapped(capsys.readouterr().out)
    assert "[dQw4w9WgXcQ]" in shown
    assert "[class] 0 :cat:" in shown

    shown = unwrapped(run_tool("score.py", folder / "predictions.parquet"))
    assert "run [nl]" in shown
    assert "clip [bad] :cat:.mp4" in shown
    assert "[class] 0 :cat:" in shown

    assert "clip [bad] :cat:.mp4" in run_tool("check_videos.py", bracketed / "val.csv", "--workers=1")

    recipe = tmp_path / "recipe [x].yaml"
    recipe.write_text((ROOT / "configs" / "demo.yaml").read_text())
    assert "recipe [x]" in run_tool("cost.py", "-c", recipe, "--against", recipe)

    sweep = tmp_path / "sweep.yaml"
    sweep.write_text("about: '[about]'\nbaseline: '[plain]'\nvariants:\n  '[plain]': {model.net.width: 4}\n")
    arguments = [argument for argument in tiny if "width" not in argument]
    assert main(["ablate", *arguments, "--sweep", str(sweep), "--plan", "-o", str(tmp_path / "out [x]")]) == 0
    shown = capsys.readouterr().out
    assert "[about]" in shown
    assert "[plain]" in shown


def unwrapped(text: str) -> str:
    """Without the line breaks that a long path brings."""
    return text.replace("\n", "")
