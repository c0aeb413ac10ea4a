"""Charts of a page, drawn in the browser by Bokeh: what lies under the pointer is told in numbers.

Colours of text, axes and grids are the page's CSS variables, so charts follow its light or dark scheme.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from bokeh.embed import json_item
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, Legend, LegendItem, LinearColorMapper, Span
from bokeh.plotting import figure

from nlvideo.report.source import Run

# Okabe and Ito's colours, told apart by colour-blind readers, on white and on black; grey in place of black.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8A8A8A", "#B8A800")
MARKERS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "star", "hex", "plus")
STYLE = """
:host {
  --bk-background-fill-color: transparent; --bk-border-fill-color: transparent; --bk-outline-line-color: transparent;
  --bk-axis-line-color: var(--faint); --bk-major-tick-line-color: var(--faint);
  --bk-minor-tick-line-color: transparent; --bk-grid-line-color: var(--line);
  --bk-axis-label-text-color: var(--ink); --bk-major-label-text-color: var(--ink);
  --bk-title-text-color: var(--ink); --bk-label-text-color: var(--ink); --bk-text-color: var(--ink);
}
"""
# A legend is made of elements, whose colours Bokeh sets once.
LEGEND_STYLE = ":host { background: none !important; } [class*=label] { color: var(--ink) !important; }"
NAMED_CLASSES, COUNTED_CLASSES = 60, 12  # of a confusion matrix; more names, or numbers in cells, cannot be read
SHOWN_CLASSES = 40  # of gains by class
NAME_LENGTH = 28  # characters
CURVES = {
    "Loss": (("training", "train/loss_epoch"), ("validation, clip level", "val/clip_loss")),
    "Top-1 accuracy, %": (("training", "train/top1"), ("validation, clip level", "val/clip_top1")),
}


@dataclass(frozen=True)
class Chart:
    """A chart, and what it shows for those who do not see it.

    Attributes:
        item: for Bokeh's `embed_item`.
        square: as high as it is wide.
    """

    title: str
    about: str
    item: dict[str, Any]
    height: int


def curves(entries: Sequence[tuple[str, Sequence[Run]]]) -> list[Chart]:
    """Return loss and accuracy over the epochs, a colour for each entry, a line for each of its runs."""
    charts = []
    for title, kinds in CURVES.items():
        plot = _figure("epoch", title, [("", "@name"), ("epoch", "@x"), (title, "@y{0.00}")])
        legend, drawn = [], 0
        for i, (name, runs) in enumerate(entries):
            renderers = []
            for run in runs:
                for kind, column in kinds:
                    renderers += _line(plot, run, kind, column, COLOURS[i % len(COLOURS)], 100 if "%" in title else 1)
            drawn += len(renderers)
            if renderers:
                legend.append((name, renderers))
        if drawn:
            rows = _legend(plot, legend)
            about = f"{title} by epoch. Dashed: training; solid: validation at clip level. A click on a name hides it."
            charts.append(_chart(title, about, plot, 300 + 22 * rows))
    return charts


def _line(plot: figure, run: Run, kind: str, column: str, colour: str, scale: float) -> list[Any]:
    table = run.metrics
    if table is None or column not in table or "epoch" not in table:
        return []
    values = table[["epoch", column]].apply(pd.to_numeric, errors="coerce").dropna()
    if values.empty:
        return []
    x, y = values["epoch"] + 1, values[column] * scale
    source = ColumnDataSource({"x": x, "y": y, "name": [f"{_plain(run.name)}, {kind}"] * len(x)})
    dash = "dashed" if kind == "training" else "solid"
    line = plot.line("x", "y", source=source, color=colour, line_width=1.6, line_dash=dash)
    dots = plot.scatter("x", "y", source=source, color=colour, size=5 if len(x) <= 60 else 2)
    return [line, dots]


def confusion(matrix: np.ndarray, class_names: Sequence[str], title: str) -> Chart:
    """Return a confusion matrix, int [K, K], row the label, column the prediction; the colour is the share of a row."""
    num_classes = len(class_names)
    names = [_plain(name) for name in class_names]
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    label, guess = np.nonzero(matrix)  # the others are empty
    source = ColumnDataSource(
        {
            "x": guess,
            "y": label,
            "label": [names[i] for i in label],
            "guess": [names[i] for i in guess],
            "videos": matrix[label, guess],
            "share": share[label, guess],
        }
    )
    tips = [("label", "@label"), ("prediction", "@guess"), ("videos", "@videos"), ("of the label", "@share{0.0 %}")]
    plot = _figure("prediction", "label", tips)
    colours = LinearColorMapper(palette=_blues(), low=0, high=1)
    fill = {"field": "share", "transform": colours}
    plot.rect("x", "y", 0.96, 0.96, source=source, fill_color=fill, line_color=None)
    if num_classes <= COUNTED_CLASSES:
        source.data["ink"] = np.where(share[label, guess] > 0.5, "white", "black")
        middle = {"text_align": "center", "text_baseline": "middle", "text_font_size": "13px"}
        plot.text("x", "y", "videos", source=source, text_color="ink", **middle)
    plot.x_range.start, plot.x_range.end = -0.5, num_classes - 0.5
    plot.y_range.start, plot.y_range.end = num_classes - 0.5, -0.5
    plot.grid.visible = False
    if num_classes <= NAMED_CLASSES:
        for axis in (plot.xaxis, plot.yaxis):
            _name_ticks(axis, names)
        plot.xaxis.major_label_orientation = 0.9
    else:
        plot.xaxis.visible = plot.yaxis.visible = False
    about = f"Rows: labels; columns: predictions; colour: share of the label's videos. {num_classes} classes."
    return _chart(title, about, plot, int(min(320 + 7 * num_classes, 680)))


def by_class(table: pd.DataFrame, title: str, axis: str, *, gain: bool) -> Chart:
    """Return a value of each class with its interval.

    Args:
        table: class, videos, value, low, high, see `evidence.gain_by_class`.
        axis: what the values are, in percent.
        gain: draw a line at 0, and show the classes with the largest changes.
    """
    key = table["value"].abs() if gain else table["value"]
    chosen = table.loc[key.sort_values(ascending=not gain, kind="stable").index[:SHOWN_CLASSES]]
    chosen = chosen.sort_values("value", kind="stable")
    y = np.arange(len(chosen))
    names = [f"{_plain(name)} ({videos})" for name, videos in zip(chosen["class"], chosen["videos"], strict=True)]
    percent = {name: 100 * chosen[name].to_numpy() for name in ("value", "low", "high")}
    source = ColumnDataSource({"y": y, "name": names, **percent})
    plot = _figure(axis, "", [("class (videos)", "@name"), (axis, "@value{0.0}"), ("95 %", "@low{0.0} to @high{0.0}")])
    plot.segment("low", "y", "high", "y", source=source, color=COLOURS[0], line_width=2)
    plot.scatter("value", "y", source=source, color=COLOURS[0], size=8)
    if gain:
        plot.add_layout(Span(location=0, dimension="height", line_color=COLOURS[6], line_width=1))
    _name_ticks(plot.yaxis, names)
    plot.y_range.start, plot.y_range.end = -0.7, len(chosen) - 0.3
    which = "largest changes" if gain else "lowest accuracies"
    counted = "" if len(chosen) == len(table) else f" The {len(chosen)} of {len(table)} classes with the {which}."
    return _chart(
        title,
        f"{axis[0].upper()}{axis[1:]} of each class with its 95 % interval.{counted}",
        plot,
        110 + 24 * len(chosen),
    )


def cost(points: pd.DataFrame, column: str, axis: str) -> Chart:
    """Return accuracy against a cost, with the front of what is nowhere dominated.

    Args:
        points: name, value, low, high (shares), and the cost.
        column: of the cost.
        axis: what it is, with its unit.
    """
    plot = _figure(axis, "top-1 at video level, %", [("", "@name"), (axis, "@x{0.0000}"), ("top-1 %", "@value{0.0}")])
    front = points.sort_values([column, "value"], ascending=[True, False])
    front = front[front["value"] > front["value"].cummax().shift(fill_value=-1)]
    plot.step(front[column], 100 * front["value"], mode="after", color=COLOURS[6], line_dash="dotted")
    legend = []
    for i, row in enumerate(points.to_dict("records")):
        colour, name = COLOURS[i % len(COLOURS)], _plain(row["name"])
        values = {key: [100 * row[key]] for key in ("value", "low", "high")}
        source = ColumnDataSource({"x": [row[column]], "name": [name], **values})
        bar = plot.segment("x", "low", "x", "high", source=source, color=colour, line_width=1.6)
        marker = MARKERS[i // len(COLOURS) % len(MARKERS)]
        dot = plot.scatter("x", "value", source=source, color=colour, size=10, marker=marker)
        legend.append((row["name"], [bar, dot]))
    rows = _legend(plot, legend)
    about = (
        f"Top-1 at video level with its 95 % interval against {axis}; dotted: the front, what nothing cheaper beats."
    )
    return _chart(f"Accuracy against {axis}", about, plot, 320 + 22 * rows)


def _figure(x: str, y: str, tips: list[tuple[str, str]]) -> figure:
    hover = HoverTool(tooltips=tips, point_policy="follow_mouse")
    plot = figure(tools=[hover], toolbar_location=None, sizing_mode="stretch_width", stylesheets=[STYLE])
    plot.toolbar.active_drag = plot.toolbar.active_scroll = None  # a finger scrolls the page
    plot.xaxis.axis_label, plot.yaxis.axis_label = x, y or None
    plot.xaxis.ticker.desired_num_ticks = 5
    for axis in (plot.xaxis, plot.yaxis):
        axis.axis_label_text_font_style = "normal"
        axis.major_label_text_font_size = axis.axis_label_text_font_size = "13px"
    return plot


def _chart(title: str, about: str, plot: figure, height: int) -> Chart:
    plot.height = height
    return Chart(title, about, json_item(plot), height)


def _legend(plot: figure, entries: Sequence[tuple[str, list[Any]]]) -> int:
    """Put names below a chart; return the number of their lines."""
    if len(entries) < 2:
        return 0
    items = [LegendItem(label=_plain(name), renderers=renderers) for name, renderers in entries]
    columns = 2
    legend = Legend(items=items, ncols=columns, orientation="horizontal", click_policy="hide", border_line_color=None)
    legend.label_text_font_size, legend.stylesheets, legend.location = "13px", [LEGEND_STYLE], "center"
    plot.add_layout(legend, "below")
    return -(-len(entries) // columns)


def _name_ticks(axis: Any, names: Sequence[str]) -> None:
    axis.ticker = FixedTicker(ticks=list(range(len(names))))
    axis.major_label_overrides = dict(enumerate(names))


def _plain(name: str) -> str:
    """Return a name from a file as a chart may show it: short, and without the signs that Bokeh reads as TeX."""
    name = str(name).replace("$$", "$ $").replace("\\(", "( ").replace("\\[", "[ ")
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"


def _blues() -> list[str]:
    """Return colours from a pale to a deep blue, visible on white and on black."""
    ends = np.array([(0xD6, 0xE6, 0xF4), (0x08, 0x45, 0x94)])
    steps = np.linspace(0, 1, 64)[:, None]
    return ["#" + "".join(f"{round(value):02x}" for value in row) for row in ends[0] + steps * (ends[1] - ends[0])]
