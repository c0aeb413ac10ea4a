import pandas as pd
import pytest

from nlvideo.ablation import parse_variants, run_sweep, summarise
from nlvideo.predictions import read_predictions


def test_values_are_split_at_commas_outside_of_brackets():
    variants = parse_variants(["model.net.after.at=none,nl5,{res3: [0, 1], res4: 2}"])
    assert [variant.arguments() for variant in variants] == [
        ["--model.net.after.at=none"],
        ["--model.net.after.at=nl5"],
        ["--model.net.after.at={res3: [0, 1], res4: 2}"],
    ]


def test_several_settings_give_the_grid():
    variants = parse_variants(["model.net.arch=c2d,i3d", "model.optimizer.lr=0.1,0.01"])
    assert [variant.name for variant in variants] == ["c2d, 0.1", "c2d, 0.01", "i3d, 0.1", "i3d, 0.01"]
    assert len({variant.folder for variant in variants}) == 4


@pytest.mark.parametrize("setting", ["model.net.arch", "=c2d", "model.net.arch=", "model.net.after.at={res3"])
def test_bad_setting(setting):
    with pytest.raises(ValueError, match="expected KEY=VALUE,VALUE"):
        parse_variants([setting])


def test_a_sweep_trains_tests_and_tabulates(tmp_path, tiny, visitors):
    config, overrides = tiny[1], tiny[2:]
    fixed = [tuple(override.removeprefix("--").split("=", 1)) for override in overrides]
    variants = [
        type(variant)((*variant.overrides, *fixed, ("trainer.max_epochs", "1")))
        for variant in parse_variants(["model.net.after.at=none,{res4: 1}"])
    ]
    table = run_sweep([config], variants, [3], tmp_path)

    assert table["params"].iloc[0] < table["params"].iloc[1]
    assert table["gmacs"].iloc[0] < table["gmacs"].iloc[1]
    assert set(table["videos"]) == {"8 of 8"}
    for row, variant in zip(table.itertuples(), variants, strict=True):
        predictions = read_predictions(tmp_path / f"{variant.folder}-seed3" / "predictions.parquet")
        assert row.video_top1 == pytest.approx((predictions.scores.argmax(axis=1) == predictions.labels).mean())
    assert (tmp_path / "results.png").stat().st_size > 1000
    assert len((tmp_path / "results.md").read_text().splitlines()) == 4

    header, rows = summarise(table)
    assert all(len(row) == len(header) for row in rows)

    finished = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*/last.ckpt")}
    assert len(finished) == 2
    pd.testing.assert_frame_equal(run_sweep([config], variants, [3], tmp_path), table)
    assert {file: file.stat().st_mtime_ns for file in finished} == finished  # nothing was trained again
