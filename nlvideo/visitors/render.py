"""The pixels of a video of "visitors".

Shapes: T frames, H rows, W columns.
"""

from collections.abc import Callable

import numpy as np

from nlvideo.visitors.scene import NUM_FRAMES, RISE_FRAMES, SIZE, WALL_TOP, Scene, Visit

# All in levels of 255.
BACKGROUND = 105.0
TEXTURE_SIGMA = 2.0  # of the background, the same in every frame
NOISE_SIGMA = 6.0  # of every pixel, anew in every frame
BRICK_SIGMA = 4.0  # from brick to brick
BRICK_COLOUR = (84, 70, 62)
MORTAR_COLOUR = (60, 53, 50)

BRICK_ROWS, BRICK_COLUMNS = 5, 12  # pixels, one of mortar below and one beside included
SWAY_PERIOD_FRAMES = 10


def render(scene: Scene) -> np.ndarray:
    """Return the pixels of a scene, RGB, uint8 [T, H, W, 3]. The same scene gives the same pixels."""
    rng = np.random.default_rng(scene.noise_seed)
    texture = rng.normal(0, TEXTURE_SIGMA, (SIZE, SIZE, 1))  # [H, W, 1]
    background = BACKGROUND + np.array(scene.tint) + texture  # [H, W, 3]
    video = np.repeat(background[None].astype(np.float32), NUM_FRAMES, axis=0)  # [T, H, W, 3]
    for visit in scene.visits:
        shape = scene.visitors[visit.visitor].shape
        for time, frame in enumerate(visit.frames):
            alpha = _coverage(shape, visit, time)[..., None]  # [H, W, 1]
            video[frame] += alpha * (np.array(visit.rgb, np.float32) - video[frame])
    video[:, WALL_TOP:] = _wall(rng)  # last, so in front of the figures
    video += NOISE_SIGMA * rng.standard_normal((NUM_FRAMES, SIZE, SIZE, 1), dtype=np.float32)
    return np.clip(np.rint(video), 0, 255).astype(np.uint8)


def visit_masks(scene: Scene) -> np.ndarray:
    """Return how much of each pixel shows the figure of each visit, the wall in front: float32 [visits, T, H, W]."""
    masks = np.zeros((len(scene.visits), NUM_FRAMES, SIZE, SIZE), np.float32)
    for mask, visit in zip(masks, scene.visits, strict=True):
        for time, frame in enumerate(visit.frames):
            mask[frame, :WALL_TOP] = _coverage(scene.visitors[visit.visitor].shape, visit, time)[:WALL_TOP]
    return masks


def _wall(rng: np.random.Generator) -> np.ndarray:
    """Return bricks in courses, each shifted by half a brick: [rows of the wall, W, 3]."""
    row = np.arange(SIZE - WALL_TOP)[:, None]  # [rows, 1]
    course = row // BRICK_ROWS
    column = np.arange(SIZE) + rng.integers(BRICK_COLUMNS) + (course % 2) * (BRICK_COLUMNS // 2)  # [rows, W]
    brick = column // BRICK_COLUMNS
    shade = rng.normal(0, BRICK_SIGMA, (course.max() + 1, brick.max() + 1))[course, brick]  # [rows, W]
    mortar = (row % BRICK_ROWS == BRICK_ROWS - 1) | (column % BRICK_COLUMNS == BRICK_COLUMNS - 1)
    return np.where(mortar[..., None], MORTAR_COLOUR, np.add(BRICK_COLOUR, shade[..., None]))


def _coverage(shape: str, visit: Visit, time: int) -> np.ndarray:
    """Return how much of each pixel the figure covers, 0 to 1, in frame `time` of its visit: [H, W]."""
    raised = min(1.0, (time + 1) / RISE_FRAMES, (visit.num_frames - time) / RISE_FRAMES)
    hidden_y = WALL_TOP + visit.radius  # the whole figure behind the wall
    y = hidden_y + raised * (visit.y - hidden_y)
    x = visit.x + visit.sway_pixels * np.sin(visit.sway_phase + 2 * np.pi * time / SWAY_PERIOD_FRAMES)
    dx = (np.arange(SIZE) - x)[None, :]  # [1, W]
    dy = (np.arange(SIZE) - y)[:, None]  # [H, 1]
    # A pixel half a pixel inside the outline is fully covered, one half a pixel outside not at all.
    return np.clip(0.5 - _OUTSIDE[shape](dx, dy, visit.radius), 0, 1)


def _disc(dx: np.ndarray, dy: np.ndarray, r: float) -> np.ndarray:
    return np.hypot(dx, dy) - r


def _square(dx: np.ndarray, dy: np.ndarray, r: float) -> np.ndarray:
    return np.maximum(np.abs(dx), np.abs(dy)) - 0.88 * r  # 0.88: about the area of the disc


def _triangle(dx: np.ndarray, dy: np.ndarray, r: float) -> np.ndarray:
    # Apex (0, -r), base from (-r, 0.8 r) to (r, 0.8 r): a side falls by 1.8 while it goes 1 sideways.
    side = (1.8 * np.abs(dx) - dy - r) / np.hypot(1.8, 1)
    return np.maximum(side, dy - 0.8 * r)


def _cross(dx: np.ndarray, dy: np.ndarray, r: float) -> np.ndarray:
    across, down = np.abs(dx), np.abs(dy)
    return np.maximum(np.minimum(across, down) - 0.36 * r, np.maximum(across, down) - r)


# Pixels from the outline of each shape, positive outside.
_OUTSIDE: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
}
