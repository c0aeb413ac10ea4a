"""Which positions of a clip see each other in non-local attention, and how keys are pooled.

Shapes: B clips, C channels, T frames, H x W places in a frame; G groups of positions that see only each other, of N
query positions and M key positions each.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Domain = Literal["spacetime", "space", "time"]


@dataclass(frozen=True)
class Grouping:
    """Between a clip and the groups of its positions.

    Attributes:
        domain: a group is all of the clip, one frame (``space``) or one place at all times (``time``).
        temporal_groups: number of runs of frames that a clip is cut into, 1 with ``space``.
        subsample: whether keys are max-pooled by 1x2x2.

    Raises:
        ValueError: they exclude each other.
    """

    domain: Domain
    temporal_groups: int
    subsample: bool

    def __post_init__(self):
        if self.domain == "time" and self.subsample:
            raise ValueError(
                "NonLocal: domain 'time' compares a place with itself at other times, and pooling over space would "
                "merge places; set subsample to false"
            )
        if self.temporal_groups < 1 or (self.temporal_groups > 1 and self.domain == "space"):
            raise ValueError(
                f"NonLocal: temporal_groups {self.temporal_groups} with domain {self.domain!r}; expected at least 1, "
                "and 1 with 'space', where frames are apart already"
            )

    @property
    def axes(self) -> str:
        """The axes along which a group has several positions, of t, y and x."""
        return {"space": "yx", "time": "t"}.get(self.domain, "tyx")

    def num_frames(self, t: int) -> int:
        """Return how many of T frames a group has."""
        return {"space": 1, "time": t}.get(self.domain, t // self.temporal_groups)

    def pool(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, C, T, H/2, W/2] if subsampled; an axis of length 1, as in a sequence, is kept."""
        if not self.subsample:
            return x
        return F.max_pool3d(x, (1, min(2, x.shape[3]), min(2, x.shape[4])))

    def to_groups(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] -> (B*G, N, C). A view, unless there are several groups.

        Raises:
            ValueError: T is not a multiple of `temporal_groups`.
        """
        b, c, t, h, w = x.shape
        if self.domain == "time":
            return x.permute(0, 3, 4, 2, 1).reshape(b * h * w, t, c)
        if t % self.temporal_groups:
            raise ValueError(
                f"NonLocal: {t} frames do not divide into temporal_groups {self.temporal_groups}; choose a divisor of "
                f"{t}"
            )
        groups = t if self.domain == "space" else self.temporal_groups
        return x.permute(0, 2, 3, 4, 1).reshape(b * groups, -1, c)

    def to_clip(self, y: Tensor, x: Tensor) -> Tensor:
        """(B*G, N, C) -> [B, C, T, H, W] in size and memory format of x, the inverse of `to_groups`."""
        b, _, t, h, w = x.shape
        if self.domain == "time":
            y = y.reshape(b, h, w, t, -1).permute(0, 4, 3, 1, 2)
        else:
            y = y.reshape(b, t, h, w, -1).permute(0, 4, 1, 2, 3)
        return y.contiguous(memory_format=torch.contiguous_format if x.is_contiguous() else torch.channels_last_3d)

    def axis_sizes(self, x: Tensor) -> dict[str, tuple[int, int, int]]:
        """Return for each axis of a group the query positions, the key positions and the queries that a key covers."""
        _, _, t, h, w = x.shape
        pool_h, pool_w = (min(2, h), min(2, w)) if self.subsample else (1, 1)
        sizes = {"t": (self.num_frames(t),) * 2 + (1,), "y": (h, h // pool_h, pool_h), "x": (w, w // pool_w, pool_w)}
        return {axis: sizes[axis] for axis in self.axes}

    def find(self, positions: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the group and the row in it of query positions (Q, 3) in t, y, x, both (Q)."""
        _, _, t, h, w = x.shape
        frame, place = positions[:, 0], positions[:, 1] * w + positions[:, 2]  # (Q), (Q)
        if self.domain == "time":
            return place, frame
        frames = self.num_frames(t)
        return frame // frames, frame % frames * h * w + place

    def key_map(self, out: Tensor, group: int) -> Tensor:
        """Return a view of the keys of one group, (B, Q, T', H', W'), in maps of all keys (B, Q, T, H', W')."""
        if self.domain == "time":
            row, column = divmod(group, out.shape[4])
            return out[..., row : row + 1, column : column + 1]
        frames = self.num_frames(out.shape[2])
        return out[:, :, group * frames : (group + 1) * frames]

    def compares(self, x: Tensor, positions: Tensor) -> Tensor:
        """Return which keys are in the group of each query position (Q, 3), bool (Q, T, H', W')."""
        size = self.pool(x[:1, :1]).shape[2:]
        keys = torch.cartesian_prod(*(torch.arange(n, device=x.device) for n in size))  # (M, 3)
        if self.domain == "time":
            same = (positions[:, None, 1:] == keys[:, 1:]).all(dim=2)  # (Q, M)
        else:
            frames = self.num_frames(size[0])
            same = positions[:, None, 0] // frames == keys[:, 0] // frames  # (Q, M)
        return same.unflatten(1, size)
