"""Report of attention statistics: tables, a picture, and a row for each video and block.

attention_stats.json       means with intervals, the weight by distance in time, videos that are missing
attention_stats.csv, .md   the table: a row for each block and measure
attention_stats.parquet    a row for each video and block, so that two runs can be compared
attention_stats.png        the means with intervals, beside uniform attention
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table

from nlvideo.analysis.stats_figure import save_stats
from nlvideo.console import console
from nlvideo.data.module import VideoData
from nlvideo.evaluation.statistics import bootstrap_interval
from nlvideo.files import replacing, write_json, write_text
from nlvideo.tables import markdown, rich_table

MEASURES = {  # name -> what it is, unit
    "own_frame": "weight on the query's own frame",
    "frames": "distance in time, frames of the video",
    "pixels": "distance in the frame, pixels of the clip",
    "entropy": "entropy, share of the highest",
    "query_dependence": "query dependence, cosine",
    "jensen_shannon": "query dependence, Jensen-Shannon",
    "input_distance": "cosine distance of inputs",
    "output_distance": "cosine distance of outputs",
    "added": "||z - x|| / ||x||",
    "no_weight": "queries without weight",
    "gate_mean": "mean gate",
    "gate_spread": "spread of gates over channels",
}
COLUMNS = ("block", "measure", "mean", "low", "high", "uniform", "videos")

Rows = dict[int, dict[str, Any]]


def write_stats(folder: Path, rows: Rows, wanted: Sequence[int], data: VideoData) -> None:
    """Write the statistics to the folder and print the table.

    Args:
        rows: label and measures by block of each video that was measured, by row of the manifest.
        wanted: rows that were to be measured.
        data: the data module, set up for a test.
    """
    samples = data.samples["test"]
    blocks = next(iter(rows.values()))["blocks"]
    of_blocks = {block: [rows[row]["blocks"][block] for row in sorted(rows)] for block in blocks}
    table = [line for block, of_videos in of_blocks.items() for line in summarize(block, of_videos)]
    lags = {
        block: {
            name: np.nanmean([video[name] for video in of_videos], axis=0).tolist() for name in ("lags", "lags_uniform")
        }
        for block, of_videos in of_blocks.items()
        if "lags" in of_videos[0]
    }
    missing = [samples[row].id for row in wanted if row not in rows]
    views = data.views("test")["video"]
    result = {
        "num_measured": len(rows),
        "num_videos": len(wanted),
        "missing": missing,
        "protocol": data.protocol,
        "views": f"{data.num_clips} x {views.num_crops}",
        "blocks": {block: {line["measure"]: line for line in table if line["block"] == block} for block in blocks},
        "weight_by_lag": lags,
    }
    write_json(folder / "attention_stats.json", _without_nan(result))
    write_text(folder / "attention_stats.csv", pd.DataFrame(table).to_csv(index=False))
    cells = pd.DataFrame([{"block": line["block"], **_cells(line)} for line in _shown(table)])
    write_text(folder / "attention_stats.md", f"{markdown(cells)}\n")
    _write_videos(folder / "attention_stats.parquet", rows, [sample.id for sample in samples])
    save_stats(table, lags, MEASURES, folder / "attention_stats.png")

    console().print(_rich(cells))
    console().print(f"{len(rows)} of {len(wanted)} videos, {result['views']} views each; 95 % intervals over videos")
    for name in missing:
        console().print(f"not measured: {name}")
    console().print(f"attention_stats.json, .csv, .md, .parquet and .png in {folder}")


def summarize(block: str, of_videos: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each measure of a block its mean over videos, a 95 % interval, and the value of uniform attention."""
    table = []
    for measure in MEASURES:
        values = np.array([video.get(measure, math.nan) for video in of_videos], dtype=float)
        values = values[np.isfinite(values)]
        if measure in of_videos[0]:
            low, high = bootstrap_interval(values) if len(values) else (math.nan, math.nan)
            mean = values.mean() if len(values) else math.nan
            line = (block, measure, float(mean), low, high, _uniform(measure, of_videos), len(values))
            table.append(dict(zip(COLUMNS, line, strict=True)))
    return table


def _uniform(measure: str, of_videos: list[dict[str, Any]]) -> float:
    if f"{measure}_uniform" in of_videos[0]:
        return float(np.mean([video[f"{measure}_uniform"] for video in of_videos]))
    return {"entropy": 1.0, "query_dependence": 0.0, "jensen_shannon": 0.0}.get(measure, math.nan)


def _cells(line: dict[str, Any]) -> dict[str, str]:
    """Return what the tables show of a line beside its block."""
    known, with_uniform = not math.isnan(line["mean"]), not math.isnan(line["uniform"])
    return {
        "measure": MEASURES[line["measure"]],
        "mean": f"{line['mean']:.3g}" if known else "n/a",
        "95 % interval": f"{line['low']:.3g} to {line['high']:.3g}" if known else "",
        "uniform": f"{line['uniform']:.3g}" if known and with_uniform else "",
    }


def _shown(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines without that on queries without weight, if all have some."""
    return [line for line in table if line["measure"] != "no_weight" or line["mean"] > 0]


def _rich(cells: pd.DataFrame) -> Table:
    """Return the table with each block named once."""
    again = cells["block"].duplicated()
    table = rich_table(cells.assign(block=cells["block"].mask(again, "")))
    for row, next_again in zip(table.rows, [*again[1:], True], strict=True):
        row.end_section = not next_again
    return table


def _write_videos(path: Path, rows: Rows, ids: list[str]) -> None:
    lines = [
        {"id": ids[row], "label": rows[row]["label"], "block": block, **of_block}
        for row in sorted(rows)
        for block, of_block in rows[row]["blocks"].items()
    ]
    columns = list(dict.fromkeys(name for line in lines for name in line if not name.startswith("lags")))
    table = pa.table({name: [line.get(name) for line in lines] for name in columns})
    with replacing(path) as partial:
        pq.write_table(table, partial)


def _without_nan(value: Any) -> Any:
    """Return a value of JSON with null in the place of NaN, which JSON has not."""
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value
