"""Does the demo's network draw on visitors, and on the same visitor in other visits? By the masks that the videos of
"visitors" were drawn with, for the queries of each attention block in the centred clip of each validation video.

example:
  python tools/bench/attention_demo.py data/visitors --ckpt_path runs/nl/last.ckpt --output attention.csv

  on visitors             share of the weight of all queries on pixels of visitors; uniform: their share of the area
  from a visit, on ..     the same for queries on a visitor, by whose visit is drawn on, in videos of 2 or 3 visitors
  same / all others       weight on the visitor's other visits, of that on all other visits; uniform: of their area

A position of a map stands for the pixels that are nearest to it, a query for the visit that covers most of its pixels,
at least a quarter. Intervals: 95 %, over videos.

Shapes: V visits, T frames, H x W pixels or positions, N queries, M keys.
"""

import argparse
import csv
import json
import sys
from dataclasses import fields
from datetime import date
from pathlib import Path

import numpy as np
import torch
from measure import device_name
from rich.table import Table

from nlvideo.analysis import attention_maps
from nlvideo.analysis.clip import normalized, read_clip
from nlvideo.analysis.geometry import Grid
from nlvideo.checkpoint import load
from nlvideo.console import console, track
from nlvideo.evaluation.statistics import bootstrap_interval
from nlvideo.visitors.dataset import COMPLETE
from nlvideo.visitors.render import visit_masks
from nlvideo.visitors.scene import Scene, VisitorOptions, nth_scene

QUERY_COVERED = 0.25
NAMES = {
    "on visitors": "all queries: on visitors",
    "own visit": "from a visit, on that visit",
    "same visitor": "from a visit, on other visits of the same visitor",
    "other visitors": "from a visit, on other visitors",
    "same / all others": "from a visit, same / all others",
}
COLUMNS = ("block", "weight", "mean", "low", "high", "uniform", "videos", "commit", "device", "date", "command")

Found = dict[str, tuple[float, float]]  # share of weight, and with uniform attention


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of `nlvideo demo-data`")
    parser.add_argument("--ckpt_path", type=Path, required=True, help="a checkpoint of the demo's network")
    parser.add_argument("--num-videos", type=int, default=400, help="default: %(default)s")
    parser.add_argument("--commit", default="", help="of the code, for the CSV")
    parser.add_argument("--output", type=Path, help="CSV")
    return parser


def by_positions(masks: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the share of each position's pixels that a mask covers: [V, T, H, W] of the clip -> (V, T', H', W')."""
    for axis in range(3):
        length = masks.shape[axis + 1]
        centres = grid.first[axis] + grid.step[axis] * np.arange(grid.size[axis])
        nearest = abs(np.arange(length)[:, None] - centres).argmin(axis=1)  # (length): position of each pixel
        share = np.zeros((grid.size[axis], length), np.float32)
        share[nearest, np.arange(length)] = 1
        share /= share.sum(axis=1, keepdims=True)
        masks = np.moveaxis(np.tensordot(masks, share, axes=(axis + 1, 1)), -1, axis + 1)
    return masks


def of_block(scene: Scene, weights: np.ndarray, queries: np.ndarray, keys: np.ndarray) -> Found:
    """Return shares of the weight.

    Args:
        weights: (N, M).
        queries: share of each query's pixels that each visit covers, (V, N).
        keys: of each key's, (V, M).
    """
    on_visits, area = weights @ keys.T, keys.mean(axis=1)  # (N, V), (V)
    found = {"on visitors": (on_visits.sum(axis=1).mean(), area.sum())}
    whose = np.array([visit.visitor for visit in scene.visits])  # (V)
    if not 2 <= len(scene.visitors) <= 3:
        return found
    shares = []
    for visit in np.unique(queries.argmax(axis=0)[queries.max(axis=0) >= QUERY_COVERED]):
        of_visit = (queries.argmax(axis=0) == visit) & (queries[visit] >= QUERY_COVERED)  # (N)
        own, same = np.arange(len(whose)) == visit, whose == whose[visit]
        groups = (own, same & ~own, ~same)
        if (keys[same & ~own].sum() > 0) and (keys[~same].sum() > 0):
            drawn = on_visits[of_visit]  # (n, V)
            shares += [
                ([row[group].sum() for group in groups], [area[group].sum() for group in groups]) for row in drawn
            ]
    if shares:
        means = np.mean(shares, axis=0)  # (2, 3)
        for i, name in enumerate(("own visit", "same visitor", "other visitors")):
            found[name] = tuple(means[:, i])
        found["same / all others"] = tuple(means[:, 1] / means[:, 1:].sum(axis=1))
    return found


def measure(options: argparse.Namespace) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Return for each block and kind of weight its share in each video, and with uniform attention."""
    net = load(options.ckpt_path)
    settings = json.loads((options.data / COMPLETE).read_text())
    scenes = VisitorOptions(**{field.name: settings[field.name] for field in fields(VisitorOptions)})
    rows: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for index in track(range(min(options.num_videos, settings["num_val"])), "videos"):
        scene = nth_scene(settings["val_seed"], index, scenes)
        clip = read_clip(net, options.data / "val" / f"{index:05d}.mp4")
        top, left = clip.corner
        height, width = clip.frames.shape[1:3]
        masks = visit_masks(scene)[:, clip.numbers, top : top + height, left : left + width]  # [V, T, H, W]
        maps = attention_maps(net, normalized(net, clip), queries="all")
        for block in dict.fromkeys(each.block for each in maps):
            of = [each for each in maps if each.block == block]
            weights = torch.stack([each.weights.flatten() for each in of]).numpy()  # (N, M)
            queries, keys = (
                by_positions(masks, grid).reshape(len(masks), -1) for grid in (of[0].query_grid, of[0].key_grid)
            )
            for name, shares in of_block(scene, weights, queries, keys).items():
                rows.setdefault((block, name), []).append(shares)
    return rows


def main() -> int:
    options = build_parser().parse_args()
    lines = []
    for (block, name), shares in sorted(
        measure(options).items(), key=lambda item: (item[0][0], list(NAMES).index(item[0][1]))
    ):
        weight, area = np.array(shares, dtype=float).T
        lines.append((block, NAMES[name], weight.mean(), *bootstrap_interval(weight), area.mean(), len(weight)))
    table = Table("block", "weight", "share", "95 % interval", "uniform", "videos")
    for block, name, mean, low, high, uniform, videos in lines:
        table.add_row(block, name, f"{mean:.3f}", f"{low:.3f} to {high:.3f}", f"{uniform:.3f}", str(videos))
    console().print(table)
    if options.output:
        about = (options.commit, device_name("cpu"), date.today().isoformat(), " ".join(["python", *sys.argv]))
        with open(options.output, "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([COLUMNS, *((*line, *about) for line in lines)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
