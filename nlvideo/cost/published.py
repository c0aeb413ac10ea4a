"""Published sizes of the reference architectures, to compare our counts with.

The numbers follow two conventions. Those at 8 frames are fvcore's, counted in the networks of SlowFast: convolutions,
matrix products and two for each output of a batch norm; at 256 the head slides over its map. Those at 32 frames leave
norms out. Both count attention with the N x M matrix.
"""

import functools
from dataclasses import dataclass, field
from typing import Any

import torch

from nlvideo.blocks import NonLocal
from nlvideo.cost.count import count_cost
from nlvideo.models import Insert, ResNet3d


@dataclass(frozen=True)
class ReferenceCost:
    """A published size.

    Attributes:
        arch, depth, at: of `ResNet3d`.
        frames, size: of the clip. 8 frames go with temporal stride 1 of the stem, 32 with 4.
        gmacs: billions of multiply-adds of one clip.
        params: millions; None if the source gives none.
        options: of the non-local blocks.
    """

    arch: str
    depth: int
    at: str
    frames: int
    size: int
    gmacs: float
    params: float | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        options = "".join(f", {key} {value}" for key, value in self.options.items())
        return f"{self.arch} R{self.depth} {self.at}{options}, {self.frames} x {self.size} x {self.size}"

    def count(self) -> tuple[float, float]:
        """Return (GMACs, millions of parameters) of our network, in the convention of the line."""
        with torch.device("meta"):
            net = ResNet3d(
                self.arch,
                self.depth,
                temporal_stride=1 if self.frames == 8 else 4,
                after=Insert(functools.partial(NonLocal, **self.options), self.at),
            )
        cost = count_cost(net, (self.frames, self.size, self.size), trained_crop=224)
        return cost.gmacs if self.frames == 8 else cost.macs / 1e9, cost.params / 1e6


def _at_8_frames(
    arch: str, depth: int, at: str, params: float, gmacs_224: float, gmacs_256: float
) -> list[ReferenceCost]:
    return [
        ReferenceCost(arch, depth, at, 8, 224, gmacs_224, params),
        ReferenceCost(arch, depth, at, 8, 256, gmacs_256, params),
    ]


REFERENCE_COSTS = [
    *_at_8_frames("c2d", 50, "none", 24.33, 19.62, 25.63),
    *_at_8_frames("c2d", 50, "nl5", 31.69, 27.76, 37.46),
    *_at_8_frames("c2d", 50, "nl10", 39.04, 35.90, 49.29),
    *_at_8_frames("i3d", 50, "none", 28.04, 28.54, 37.28),
    *_at_8_frames("i3d", 50, "nl5", 35.40, 36.68, 49.10),
    *_at_8_frames("i3d", 50, "nl10", 42.76, 44.82, 60.93),
    *_at_8_frames("c2d", 101, "none", 43.32, 34.51, 45.08),
    *_at_8_frames("c2d", 101, "nl5", 50.68, 42.65, 56.91),
    *_at_8_frames("i3d", 101, "none", 51.75, 47.13, 61.56),
    *_at_8_frames("i3d", 101, "nl5", 59.11, 55.27, 73.38),
    ReferenceCost("c2d", 50, "none", 32, 224, 20.44),
    ReferenceCost("i3d", 50, "none", 32, 224, 33.13),
    ReferenceCost("i3d_3x3x3", 50, "none", 32, 224, 39.09, 33.43),
    ReferenceCost("c2d", 50, "nl5", 32, 224, 28.57),
    ReferenceCost("i3d", 50, "nl5", 32, 224, 41.26),
    ReferenceCost("c2d", 50, "nl5", 32, 224, 40.62, options={"subsample": False}),
]
