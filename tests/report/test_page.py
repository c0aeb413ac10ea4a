"""Pages of real runs: what they hold, without a browser; bad folders and files of strangers."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nlvideo.__main__ import main
from nlvideo.ablation import report as sweep_report
from nlvideo.ablation.grid import sweep_of_settings
from nlvideo.ablation.plan import make_plans
from nlvideo.evaluation.predictions import read_predictions, write_predictions
from nlvideo.report.reading import read_csv
from nlvideo.report.source import read_run


def report(*arguments) -> str:
    *folders, output = map(str, arguments)
    assert main(["report", *folders, "-o", output]) == 0
    return Path(output).read_text()


def text_of(page: str) -> str:
    """The words of a page, without its scripts and styles."""
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def test_the_page_of_a_run_says_what_was_measured(page_of_run, tested):
    page, text = page_of_run.read_text(), text_of(page_of_run.read_text())
    result = json.loads((tested / "test.json").read_text())
    assert len(page) < 5e6
    assert f"{100 * result['video']['top1']:.1f} [" in text
    assert "8 of 8 videos" in text
    assert "3 x 1 views" in text
    assert result["data"]["test"]["sha256"] in text
    assert f"torch {result['versions']['torch']}" in text
    assert "nothing; each network was trained once" in text
    assert "\\begin{tabular}" in text
    assert "of one training, so it says nothing of what another seed would give" in text
    assert not re.search(r'(src|href)="(?!#|data:)', page.split("<script")[0])
    pictures = re.findall(r'src="data:image/webp;base64,', page)
    right = round(8 * result["video"]["top1"])
    assert len(pictures) == 2 * (min(4, right) + min(4, 8 - right))  # the clip and its attention


def test_an_unfinished_run_has_a_page_that_says_so(tested, tmp_path):
    folder = shutil.copytree(tested, tmp_path / "begun")
    for name in ("test.json", "predictions.parquet", "fit.json", "metrics.csv"):
        (folder / name).unlink()
    text = text_of(report(folder, tmp_path / "page.html"))
    assert "No run here has been tested yet." in text
    assert "begun: not trained to its end" in text
    assert "All settings of begun" in text


def test_missing_videos_and_weights_are_said(tested, tmp_path):
    folder = shutil.copytree(tested, tmp_path / "moved")
    result = json.loads((folder / "test.json").read_text())
    result["data"]["test"]["folder"] = str(tmp_path / "gone")
    (folder / "test.json").write_text(json.dumps(result))
    text = text_of(report(folder, "--videos", "1", tmp_path / "page.html"))
    assert f"no such file: {tmp_path / 'gone'}" in text
    (folder / "last.ckpt").unlink()
    text = text_of(report(folder, "--videos", "1", tmp_path / "again.html"))
    assert f"No pictures: {folder / 'last.ckpt'} is not there" in text
    assert "data:image/webp" not in report(folder, "--videos", "0", tmp_path / "none.html")


def test_a_sweep_is_read_from_what_ablate_writes(tested, tiny, tmp_path, monkeypatch):
    sweep = replace(sweep_of_settings(["model.net.after.at=none,{res4: [1]}"], "where"), controls=("params",))
    plans = make_plans([sweep], tiny, [0, 1])
    output = tmp_path / "where"
    for row, wrong in zip(plans[0].rows, (3, 1, 2), strict=True):
        for run in row.runs:
            folder = shutil.copytree(tested, run.folder(output))
            config = (
                (folder / "config.yaml").read_text().replace("seed_everything: 0", f"seed_everything: {run.label[-1]}")
            )
            (folder / "config.yaml").write_text(config)
            change_predictions(folder, wrong)
    (plans[0].rows[1].runs[1].folder(output) / "test.json").unlink()
    for plot in ("plot_accuracy", "plot_cost", "plot_curves"):  # pictures are not read
        monkeypatch.setattr(sweep_report, plot, lambda *args: None)
    sweep_report.write_report(plans, output)
    page = report(output, tmp_path / "page.html")
    text = text_of(page)
    assert "res4.1 has 87.5 [" in text  # 7 of 8 videos
    assert "+25.0 points [" in text
    (state,) = set(pd.read_csv(output / "runs.csv")["state"]) - {"finished"}
    assert f"Not in these numbers: res4.1, seed 1: {state}." in text
    assert text.count("Learning curves") == 1
    assert "seeds 0, 1." in text
    names = re.findall(r"<tr class=\"marked\">\s*<td>(.*?)</td>", page)
    assert names == ["none"]
    control = plans[0].rows[2].variant.name
    assert page.count('<p class="note">Δ: to ') == page.count('<p class="note">A control is ') == 1
    assert re.search(
        rf"where: controls.*?res4\.1\s+parameters\s+{re.escape(control)}\s+[+−]\S+\s+\+12\.5", text, re.DOTALL
    )
    assert "none has 62.5" in text_of(report(output, "--variant", "none", tmp_path / "none.html"))
    (plans[0].rows[1].runs[0].folder(output) / "test.json").unlink()  # now no run of this variant is tested
    sweep_report.write_report(plans, output)
    assert "Not in these numbers: res4.1, seed 0: " in text_of(report(output, tmp_path / "without.html"))
    assert main(["report", str(output), "--variant", "res5", "-o", str(tmp_path / "x.html")]) == 1


def change_predictions(folder: Path, wrong: int, **changes) -> None:
    """Give the first videos a wrong prediction, the others the right one."""
    predictions = read_predictions(folder / "predictions.parquet")
    labels = predictions.labels
    guesses = np.where(np.arange(len(labels)) < wrong, (labels + 1) % 4, labels)
    scores = np.full_like(predictions.scores, 0.1)
    scores[np.arange(len(labels)), guesses] = 0.7
    write_predictions(folder / "predictions.parquet", replace(predictions, scores=scores, **changes))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no run (config.yaml) and no sweep"),
        ({"a/config.yaml": "{}"}, "name one of those in it: a"),
        ({"config.yaml": "model: {\n"}, "config.yaml: not YAML"),
        ({"config.yaml": "[1, 2]"}, "not the configuration of a run"),
        ({"config.yaml": "model: {}\ndata: {}", "test.json": "{"}, "test.json: not JSON"),
        ({"results.csv": "a,b\n1,2\n", "runs.csv": "a\n1\n"}, "results.csv: no column 'sweep'"),
        (
            {
                "results.csv": "sweep,variant,baseline\ns,v,True\n",
                "runs.csv": "sweep,variant,run,folder,state\ns,v,r,../../etc,finished\n",
            },
            "expected the name of a folder beside it",
        ),
        (  # a few bytes that would be a billion values
            {"config.yaml": "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
                f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
            )},
            "more than 10,000 values",
        ),
    ],
)  # fmt: skip
def test_bad_folders_are_one_line(files, message, tmp_path, capsys):
    for name, text in files.items():
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / name).write_text(text)
    (tmp_path / "x").mkdir(exist_ok=True)
    assert main(["report", str(tmp_path / "x"), "-o", str(tmp_path / "page.html")]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "page.html").exists()


def test_bad_options_are_one_line(tested, tmp_path, capsys):
    (tmp_path / "there.html").write_text("mine")
    run = str(tested)
    for arguments, message in (
        ([run, "-o", str(tmp_path)], "a folder; expected the name of a file"),
        ([run, "-o", str(tmp_path / "there.html")], "exists; give another name, or --overwrite"),
        ([run, "-o", str(tmp_path / "no" / "page.html")], "make it first"),
        ([run, run, run, "-o", str(tmp_path / "a.html")], "3 folders"),
        ([run, "--videos", "-1", "-o", str(tmp_path / "a.html")], "--videos -1"),
        ([run, "--variant", "x", "-o", str(tmp_path / "a.html")], "--variant x: of a sweep"),
        ([run, "--block", "res9.9", "-o", str(tmp_path / "a.html")], "--block res9.9"),
        ([str(tested / "config.yaml"), "-o", str(tmp_path / "a.html")], "a file; expected the folder of a run"),
    ):
        assert main(["report", *arguments]) == 1
        assert message in capsys.readouterr().err
    assert (tmp_path / "there.html").read_text() == "mine"


def test_a_variant_called_null_keeps_its_name(tmp_path):
    pd.DataFrame({"variant": ["null"]}).to_csv(tmp_path / "x.csv")
    assert read_csv(tmp_path / "x.csv")["variant"].tolist() == ["null"]


def test_a_run_is_read_as_it_was_written(tested):
    run = read_run(tested)
    assert (run.state, run.name) == ("finished", tested.name)
    assert run.metrics["epoch"].max() == 1
    assert run.predictions.counted() == "8 of 8 videos"
