"""The contact sheet of "visitors": one picture from which a stranger understands the task."""

import os

import numpy as np

from nlvideo.visitors.render import render
from nlvideo.visitors.scene import (
    FPS,
    MAX_VISIT_FRAMES,
    NUM_CLASSES,
    NUM_FRAMES,
    NUM_VISITS,
    VisitorOptions,
    nth_scene,
)

EXAMPLES = 2  # videos a class, side by side
STRIP_INDEX = 1  # the training video that is shown frame by frame
LETTERS = "ABCD"
TITLES = {
    "count": "Four times, somebody looks over a wall.  How many different visitors were there?",
    "order": "Four visitors look over a wall, one after another.  Who came first?",
}
STRIP_TITLE = f"One visit, frame by frame ({FPS} frames a second)"
VIDEOS_TITLE = (
    f"Videos of each class: the four visits, and below, when in the {NUM_FRAMES // FPS} seconds who was there"
)

WIDTH, TITLE_HEIGHT, STRIP_HEIGHT, ROW_HEIGHT = 10.5, 0.6, 1.25, 1.55  # inches
DPI = 110
MARGINS = {"left": 0.025, "right": 0.975, "wspace": 0.06}
TEXT, FAINT, BAR = "#222222", "#666666", "#e4e4e4"


def save_contact_sheet(
    path: str | os.PathLike, class_names: tuple[str, ...], seed: int, num_videos: int, options: VisitorOptions
) -> None:
    """Save a PNG: one visit frame by frame, then a row a class with the four visits of two of its videos."""
    # Late, because it is slow to import; and not pyplot, to leave the caller's figures and backend alone.
    from matplotlib.figure import Figure

    heights = [TITLE_HEIGHT, STRIP_HEIGHT, NUM_CLASSES * ROW_HEIGHT]
    figure = Figure(figsize=(WIDTH, sum(heights)), dpi=DPI, facecolor="white")
    title, strip, body = figure.subfigures(3, 1, height_ratios=heights)
    title.text(0.5, 0.45, TITLES[options.task], ha="center", va="center", size=15, weight="bold", color=TEXT)
    _draw_strip(strip, seed, options)
    for label, row in enumerate(body.subfigures(NUM_CLASSES, 1)):
        name, *videos = row.subfigures(1, 1 + EXAMPLES, width_ratios=[1.2] + [4] * EXAMPLES)
        name.text(0.93, 0.6, class_names[label], ha="right", va="center", size=13, weight="bold", color=TEXT)
        for index, panel in zip(range(label, num_videos, NUM_CLASSES), videos, strict=False):
            _draw_video(panel, seed, index, options)
    figure.savefig(path)


def _draw_strip(panel, seed: int, options: VisitorOptions) -> None:
    """The longest visit of a video, with the frames before and after it."""
    scene = nth_scene(seed, STRIP_INDEX, options)
    visit = max(scene.visits, key=lambda visit: visit.num_frames)
    frames = render(scene)[max(visit.start - 1, 0) : visit.frames.stop + 1]
    grid = panel.add_gridspec(1, MAX_VISIT_FRAMES + 2, bottom=0.2, top=0.84, **MARGINS)
    for column, frame in enumerate(frames):
        _show(panel.add_subplot(grid[column]), frame)
    panel.text(MARGINS["left"], 0.87, STRIP_TITLE, size=10, color=FAINT)
    panel.text(MARGINS["left"], 0.04, VIDEOS_TITLE, size=10, color=FAINT)


def _draw_video(panel, seed: int, index: int, options: VisitorOptions) -> None:
    """The middle frame of each visit above a time line of the whole video, where letters say who it was."""
    scene = nth_scene(seed, index, options)
    frames = render(scene)  # [T, H, W, 3]
    letters: dict[int, str] = {}
    for visit in scene.visits:
        letters.setdefault(visit.visitor, LETTERS[len(letters)])
    grid = panel.add_gridspec(2, NUM_VISITS, height_ratios=[7, 1], hspace=0.06, bottom=0.1, top=0.96, **MARGINS)
    line = panel.add_subplot(grid[1, :])
    line.set(xlim=(0, NUM_FRAMES), ylim=(0, 1))
    line.axis("off")
    line.axhspan(0, 1, color=BAR)
    for column, visit in enumerate(scene.visits):
        middle = visit.start + visit.num_frames // 2
        _show(panel.add_subplot(grid[0, column]), frames[middle])
        line.axvspan(visit.frames.start, visit.frames.stop, color=np.array(visit.rgb) / 255)
        line.text(middle, 0.45, letters[visit.visitor], ha="center", va="center", size=10, weight="bold")


def _show(axis, frame: np.ndarray) -> None:
    axis.imshow(frame, interpolation="bicubic")
    axis.set_anchor("S")
    axis.axis("off")
