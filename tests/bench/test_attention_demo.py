"""tools/bench/attention_demo.py: shares of weight by hand, and a run on a tiny network."""

import csv
import runpy
import sys

import numpy as np
import pytest

from nlvideo.analysis.geometry import Grid
from nlvideo.visitors.render import render, visit_masks
from nlvideo.visitors.scene import nth_scene
from tests.conftest import ROOT

BENCH = ROOT / "tools" / "bench"


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return runpy.run_path(str(BENCH / "attention_demo.py"))


def test_masks_are_where_the_figures_are():
    scene = nth_scene(2, 3)
    masks, video = visit_masks(scene), render(scene).astype(float)
    for mask, visit in zip(masks, scene.visits, strict=True):
        assert set(np.flatnonzero(mask.any(axis=(1, 2)))) <= set(visit.frames)
        assert (mask == 1).sum() > 1000
        error = video[mask == 1] - visit.rgb  # the noise has a standard deviation of 6
        assert abs(error).mean() < 6


def test_positions_stand_for_the_pixels_nearest_to_them(tool):
    masks = np.zeros((1, 4, 2, 6), np.float32)
    masks[0, 1, :, :3] = 1  # of the first two frames one; half of the columns
    masks[0, 3, 0, 5] = 1
    found = tool["by_positions"](masks, Grid((0.5, 0.5, 0.5), (2.0, 2.0, 2.0), (2, 1, 3)))
    assert found[0, :, 0].tolist() == [[0.5, 0.25, 0.0], [0.0, 0.0, 0.125]]


def test_shares_of_weight_by_hand(tool):
    """Four keys, each one visit; the scene's visitors are A, B, A, C or another order of three."""
    scene = next(scene for i in range(2, 99, 4) if (scene := nth_scene(2, i)).label == 2)
    whose = [visit.visitor for visit in scene.visits]
    twice = [i for i in range(4) if whose.count(whose[i]) == 2]
    keys = np.eye(4, 8, dtype=np.float32)  # four keys show nobody
    queries = np.zeros((4, 2), np.float32)
    queries[twice[0], 0] = 1  # the first query is on a visit of the one who comes twice, the second on nobody
    weights = np.full((2, 8), 0.05, np.float32)
    weights[0, twice] = 0.2, 0.4
    found = tool["of_block"](scene, weights, queries, keys)
    assert found["on visitors"] == pytest.approx(((0.2 + 0.4 + 0.05 + 0.05 + 4 * 0.05) / 2, 0.5))
    assert found["own visit"] == pytest.approx((0.2, 1 / 8))
    assert found["same visitor"] == pytest.approx((0.4, 1 / 8))
    assert found["other visitors"] == pytest.approx((0.1, 2 / 8))
    assert found["same / all others"] == pytest.approx((0.8, 1 / 3))


def test_a_run_writes_a_row_for_each_block_and_kind(tool, trained, visitors, tmp_path, monkeypatch):
    options = [str(visitors), f"--ckpt_path={trained / 'last.ckpt'}", f"--output={tmp_path / 'out.csv'}"]
    monkeypatch.setattr(sys, "argv", ["attention_demo.py", *options, "--num-videos=3", "--commit=abc"])
    assert tool["main"]() == 0
    with open(tmp_path / "out.csv") as file:
        rows = list(csv.DictReader(file))
    assert {row["block"] for row in rows} == {"res3.0", "res3.1", "res4.1"}
    assert all(0 <= float(row["low"]) <= float(row["mean"]) <= float(row["high"]) <= 1 for row in rows)
    assert {row["commit"] for row in rows} == {"abc"}
