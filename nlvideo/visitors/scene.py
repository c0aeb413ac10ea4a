"""What happens in a video of "visitors": a random Scene. No pixels here.

    time ->  . . . AAAAAAAA . BBBBBBBBBBB . . . . AAAAAAA . . CCCCCCCCC . .      3 visitors: label 2
             four visits over a wall, one after another, by A, B, A and C

Two tasks. ``count``: how many different visitors? ``order``: four visitors of four colours, who came first? There the
videos 4 i to 4 i + 3 of a set are one of each class and show the same four visits, each in another order: no frame, and
no set of frames without their order, tells the class.

x grows to the right and y downwards, in pixels; pixel centres are at whole numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

NUM_FRAMES = 64  # T
FPS = 16  # so a video lasts 4 seconds
SIZE = 64  # H and W, pixels
NUM_VISITS = 4
NUM_CLASSES = 4  # 1, 2, 3 or 4 different visitors; or the first of the four colours

MAX_VISIT_FRAMES = 11
MIN_GAP_FRAMES = 1  # between two visits, nobody to be seen
RISE_FRAMES = 2  # to the top, and back down

WALL_TOP = SIZE - 20  # the first row of the wall
RADIUS = (9.0, 10.5)  # pixels
CENTRE_X = (14.0, 50.0)  # with the radius and the sway, always inside the picture
CENTRE_Y = (13.0, 36.0)  # at the top of a visit; the lowest leave a quarter of the figure behind the wall
SWAY_PIXELS = (1.5, 2.5)  # amplitude, sideways

COLOURS = {
    "red": (220, 50, 47),
    "green": (60, 180, 75),
    "blue": (60, 100, 230),
    "yellow": (240, 210, 50),
    # With five and six colours: those furthest from the four above and from the grey background.
    "magenta": (215, 70, 200),
    "white": (240, 240, 240),
}
COLOUR_JITTER = 18  # levels of 255, a channel, anew each visit
TINT = 4.0  # levels of 255, a channel, of the background
SHAPES = ("disc", "square", "triangle", "cross")

Task = Literal["count", "order"]
TASKS: tuple[Task, ...] = ("count", "order")

# Number of visitors -> how often each of them comes; two ways are equally likely.
SHARES = {1: [(4,)], 2: [(3, 1), (2, 2)], 3: [(2, 1, 1)], 4: [(1, 1, 1, 1)]}


@dataclass(frozen=True)
class VisitorOptions:
    """The task, and what makes it harder; the defaults are the standard form.

    Args:
        task: ``count`` or ``order``.
        num_colours: 4 to 6; 4 in ``order``, whose classes are colours.
        min_visit_frames: 4 to 11; below 8, a clip with frame interval 8 can miss a whole visit.
    """

    task: Task = "count"
    num_colours: int = 4
    min_visit_frames: int = 7

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"task is {self.task!r}: expected {' or '.join(TASKS)}")
        if self.task == "order" and self.num_colours != NUM_CLASSES:
            raise ValueError(f"num_colours is {self.num_colours}: task order has {NUM_CLASSES}, one for each class")
        if not NUM_CLASSES <= self.num_colours <= len(COLOURS):
            raise ValueError(f"num_colours is {self.num_colours}: expected {NUM_CLASSES} to {len(COLOURS)}")
        if not 2 * RISE_FRAMES <= self.min_visit_frames <= MAX_VISIT_FRAMES:
            raise ValueError(
                f"min_visit_frames is {self.min_visit_frames}: expected {2 * RISE_FRAMES} (up and down) "
                f"to {MAX_VISIT_FRAMES}"
            )


STANDARD = VisitorOptions()


@dataclass(frozen=True)
class Visitor:
    colour: str  # a name in COLOURS
    shape: str  # one of SHAPES


@dataclass(frozen=True)
class Visit:
    visitor: int  # its place in Scene.visitors
    start: int  # first frame
    num_frames: int
    x: float  # centre, pixels, before the sway
    y: float  # centre at the top of the visit, pixels
    radius: float  # pixels
    sway_pixels: float
    sway_phase: float  # radians
    rgb: tuple[int, int, int]  # the visitor's colour as jittered for this visit

    @property
    def frames(self) -> range:
        return range(self.start, self.start + self.num_frames)


@dataclass(frozen=True)
class Scene:
    label: int
    visitors: tuple[Visitor, ...]
    visits: tuple[Visit, ...]  # in order of time
    tint: tuple[float, float, float]
    noise_seed: int  # of the wall, the texture and the noise, which say nothing about the class


def nth_scene(seed: int, index: int, options: VisitorOptions = STANDARD) -> Scene:
    """Return video `index` of the set `seed`: of class index % 4, and the same however many videos are made."""
    rng, (group, label) = np.random.default_rng([seed, index]), divmod(index, NUM_CLASSES)
    if options.task == "order":
        return draw_order_scene(np.random.default_rng([seed, group, NUM_CLASSES]), rng, label, options)
    return draw_scene(rng, 1 + label, options)


def draw_scene(rng: np.random.Generator, num_visitors: int, options: VisitorOptions = STANDARD) -> Scene:
    """Draw a scene of the task ``count``."""
    visitors = _draw_visitors(rng, num_visitors, options)
    shares = SHARES[num_visitors][rng.integers(len(SHARES[num_visitors]))]
    order = rng.permutation(np.repeat(np.arange(num_visitors), shares))  # [4]: who comes, visit by visit
    durations = _draw_durations(rng, options)
    starts = _draw_starts(rng, durations)
    visits = [
        _draw_visit(rng, int(who), visitors[who], start, num_frames)
        for who, start, num_frames in zip(order, starts, durations, strict=True)
    ]
    return _with_surroundings(rng, num_visitors - 1, visitors, visits)


def draw_order_scene(
    visits_rng: np.random.Generator, rng: np.random.Generator, first: int, options: VisitorOptions
) -> Scene:
    """Draw a scene of the task ``order``: `visits_rng` draws who comes and how; `rng` draws the rest.

    Args:
        first: the colour that comes first, its place in COLOURS.
    """
    visitors = _draw_visitors(visits_rng, NUM_VISITS, options)
    visits = [
        _draw_visit(visits_rng, who, visitors[who], 0, num_frames)
        for who, num_frames in enumerate(_draw_durations(visits_rng, options))
    ]
    colour = list(COLOURS)[first]
    order = sorted(rng.permutation(NUM_VISITS).tolist(), key=lambda who: visitors[who].colour != colour)
    starts = _draw_starts(rng, [visits[who].num_frames for who in order])
    visits = [replace(visits[who], start=start) for who, start in zip(order, starts, strict=True)]
    return _with_surroundings(rng, first, visitors, visits)


def _draw_visitors(rng: np.random.Generator, num_visitors: int, options: VisitorOptions) -> tuple[Visitor, ...]:
    colours = rng.choice(list(COLOURS)[: options.num_colours], num_visitors, replace=False)
    shapes = rng.choice(SHAPES, num_visitors)  # two visitors may have the same shape
    return tuple(Visitor(str(colour), str(shape)) for colour, shape in zip(colours, shapes, strict=True))


def _draw_visit(rng: np.random.Generator, who: int, visitor: Visitor, start: int, num_frames: int) -> Visit:
    jitter = rng.integers(-COLOUR_JITTER, COLOUR_JITTER + 1, 3)
    rgb = np.clip(np.add(COLOURS[visitor.colour], jitter), 0, 255)
    visit = Visit(
        visitor=who,
        start=start,
        num_frames=num_frames,
        x=rng.uniform(*CENTRE_X),
        y=rng.uniform(*CENTRE_Y),
        radius=rng.uniform(*RADIUS),
        sway_pixels=rng.uniform(*SWAY_PIXELS),
        sway_phase=rng.uniform(0, 2 * np.pi),
        rgb=tuple(rgb.tolist()),
    )
    rng.uniform()  # unused: without it the draws after it, and so all videos, would be others
    return visit


def _with_surroundings(
    rng: np.random.Generator, label: int, visitors: tuple[Visitor, ...], visits: Sequence[Visit]
) -> Scene:
    tint = tuple(rng.uniform(-TINT, TINT, 3).tolist())
    return Scene(label, visitors, tuple(visits), tint, noise_seed=int(rng.integers(2**63)))


def _draw_durations(rng: np.random.Generator, options: VisitorOptions) -> list[int]:
    return rng.integers(options.min_visit_frames, MAX_VISIT_FRAMES + 1, NUM_VISITS).tolist()  # [4]


def _draw_starts(rng: np.random.Generator, durations: Sequence[int]) -> list[int]:
    """Return the first frame of each visit; the frames left over go before, between and after them."""
    num_free = NUM_FRAMES - sum(durations) - MIN_GAP_FRAMES * (NUM_VISITS - 1)
    # Free frames before each visit, in all: sorted random cuts, so that long and short gaps are common.
    free_before = np.sort(rng.integers(0, num_free + 1, NUM_VISITS))  # [4]
    busy_before = np.concatenate([[0], np.cumsum(np.add(durations, MIN_GAP_FRAMES))[:-1]])  # [4]
    return (free_before + busy_before).tolist()
