"""Pictures of attention on the frames of a clip: arrows as in Wang et al. 2018, Fig. 3, heat strips, animations, gates.

Shapes: T frames, H x W pixels, H' x W' key positions of a frame.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch

from nlvideo.analysis.geometry import Grid
from nlvideo.analysis.maps import AttentionMap
from nlvideo.figure import save_figure, styled
from nlvideo.files import replacing

NUM_ARROWS = 20  # of the paper's figure
QUERY, ARROW, HEAT = "#00e5ff", "#ff9100", "inferno"  # bright, on photographs
MAX_FRAMES = 8  # side by side
INCHES = 1.7  # of a frame's width
GIF_DPI = 60


@styled
def save_arrows(attention: AttentionMap, frames: np.ndarray, path: Path) -> None:
    """Save the query point in its frame, and arrows to the strongest positions in the other frames (Fig. 3).

    Args:
        frames: of the clip, uint8 [T, H, W, 3].
        path: PNG.
    """
    strongest = attention.strongest(NUM_ARROWS, other_frames=True)
    t, row, column = attention.point
    own = _clip_frame(t, frames)
    shown = _spread(sorted({own, *(_clip_frame(point[0], frames) for _, point in strongest)}), keep=own)
    figure, axes = _strip(len(shown), frames.shape, title=f"{attention.block}, query at frame {own}")
    by_frame = dict(zip(shown, axes, strict=True))
    for number, axis in by_frame.items():
        axis.imshow(frames[number])
        axis.set_title(f"frame {number}")
    origin = by_frame[own]
    origin.plot(column, row, "o", color=QUERY, markersize=7, markeredgecolor="black")
    top = strongest[0][0] if strongest else 1.0
    for weight, (at, y, x) in strongest:
        axis = by_frame.get(_clip_frame(at, frames))
        if axis is None:
            continue
        share = max(weight / top, 0.0) if top > 0 else 0.0
        axis.plot(x, y, "o", color=ARROW, markersize=3 + 3 * share, markeredgecolor="black", markeredgewidth=0.5)
        figure.add_artist(
            ConnectionPatch(
                (column, row),
                (x, y),
                origin.transData,
                axis.transData,
                arrowstyle="-|>",
                color=ARROW,
                alpha=0.25 + 0.65 * share,
                linewidth=0.8 + share,
            )
        )
    save_figure(figure, path)


@styled
def save_strips(maps: Sequence[AttentionMap], frames: np.ndarray, path: Path) -> None:
    """Save heat over the frames: a row for each query, a column for each frame of the block's map, with a scale.

    Args:
        maps: of one block.
        frames: of the clip, uint8 [T, H, W, 3].
        path: PNG.
    """
    num_frames = maps[0].weights.shape[0]
    figure = Figure(figsize=(INCHES * num_frames + 1, INCHES * _aspect(frames) * len(maps) + 0.6))
    axes = figure.subplots(len(maps), num_frames, squeeze=False)
    highest = max(float(each.weights.max()) for each in maps)
    for row, attention in zip(axes, maps, strict=True):
        for t, axis in enumerate(row):
            image = _show_heat(axis, attention, t, frames, highest)
            if attention.query[0] == t:
                axis.plot(attention.point[2], attention.point[1], "o", color=QUERY, markeredgecolor="black")
    for t, axis in enumerate(axes[0]):
        covered = _covered(maps[0].key_grid, t, frames)
        several = f"s {covered[0]} to {covered[-1]}" if len(covered) > 1 else f" {covered[0]}"
        axis.set_title(f"frame{several}")
    scale = matplotlib.cm.ScalarMappable(image.norm, HEAT)  # of its own, for the pictures are transparent
    figure.colorbar(scale, ax=axes, label="weight of a position", shrink=0.8)
    figure.suptitle(f"{maps[0].block}: what each query (dot) draws on")
    save_figure(figure, path)


@styled
def save_animation(maps: Sequence[AttentionMap], frames: np.ndarray, path: Path) -> None:
    """Save a GIF in which the map follows a query through time: a picture for each of the maps, in their order.

    Args:
        maps: of one block, of queries at one place in frame after frame.
        frames: of the clip, uint8 [T, H, W, 3].
        path: GIF.
    """
    figure, axes = _strip(maps[0].weights.shape[0], frames.shape, title=f"{maps[0].block}: the query moves")
    highest = max(float(each.weights.max()) for each in maps)

    def draw(i: int) -> None:
        for t, axis in enumerate(axes):
            axis.clear()
            _show_heat(axis, maps[i], t, frames, highest)
            if maps[i].query[0] == t:
                axis.plot(maps[i].point[2], maps[i].point[1], "o", color=QUERY, markeredgecolor="black")

    with replacing(path) as partial:
        FuncAnimation(figure, draw, frames=len(maps)).save(partial, writer=PillowWriter(fps=2), dpi=GIF_DPI)


@styled
def save_gates(weights: np.ndarray, block: str, path: Path) -> None:
    """Save the gates of squeeze-and-excitation, [C], as a sorted line, or channel attention, [C, C], as a picture."""
    figure = Figure(figsize=(5, 4))
    axis = figure.subplots()
    if weights.ndim == 1:
        axis.plot(np.sort(weights)[::-1])
        axis.set(xlabel="channel, by its gate", ylabel="gate", ylim=(0, 1), title=block)
    else:
        image = axis.imshow(weights, cmap=HEAT, vmin=0)
        axis.grid(False)
        figure.colorbar(image, label="weight")
        axis.set(xlabel="channel j", ylabel="channel i draws on", title=block)
    save_figure(figure, path)


def _show_heat(axis: Axes, attention: AttentionMap, t: int, frames: np.ndarray, highest: float):
    grid = attention.key_grid
    height, width = frames.shape[1:3]
    (_, top, left), (_, dy, dx) = grid.first, grid.step
    rows, columns = grid.size[1:]
    extent = (left - dx / 2, left + dx * (columns - 0.5), top + dy * (rows - 0.5), top - dy / 2)
    covered = frames[_covered(grid, t, frames)].mean(axis=(0, 3))  # (H, W), without colours, which are the heat's
    axis.imshow(covered, cmap="gray", vmin=0, vmax=255)
    weights = attention.weights[t].numpy()  # (H', W')
    limits = {"vmin": min(float(attention.weights.min()), 0.0), "vmax": highest}
    alpha = 0.75 * np.clip(weights / max(highest, 1e-12), 0, 1)  # the frame shows through low weights
    image = axis.imshow(weights, extent=extent, cmap=HEAT, alpha=alpha, **limits)
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    return image


def _strip(count: int, shape: tuple[int, ...], title: str) -> tuple[Figure, list[Axes]]:
    """Return a figure of frames side by side."""
    figure = Figure(figsize=(INCHES * count, INCHES * shape[1] / shape[2] + 0.6), layout="none")
    axes = list(figure.subplots(1, count, squeeze=False)[0])
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.02, top=0.76, wspace=0.04)
    for axis in axes:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    figure.suptitle(title)
    return figure, axes


def _spread(numbers: list[int], keep: int) -> list[int]:
    """Return at most MAX_FRAMES of rising numbers, evenly spread, `keep` among them."""
    if len(numbers) <= MAX_FRAMES:
        return numbers
    chosen = {numbers[round(i)] for i in np.linspace(0, len(numbers) - 1, MAX_FRAMES)}
    if keep not in chosen:
        chosen.remove(min(chosen, key=lambda number: abs(number - keep)))
        chosen.add(keep)
    return sorted(chosen)


def _clip_frame(t: float, frames: np.ndarray) -> int:
    return min(max(int(t), 0), len(frames) - 1)


def _covered(grid: Grid, t: int, frames: np.ndarray) -> list[int]:
    """Return the frames of the clip that belong to a frame of the map: one, or as many as are merged into it."""
    centre, half = grid.centre((t, 0, 0))[0], (grid.step[0] - 1) / 2
    return sorted({_clip_frame(number, frames) for number in np.arange(centre - half, centre + half + 0.5)})


def _aspect(frames: np.ndarray) -> float:
    return frames.shape[1] / frames.shape[2]
