"""Learned biases of positions for softmax attention, by the difference of key and query in t, y and x.

Wang et al. 2018 allow f to depend on positions; their functions do not. Relatives: Shaw et al. 2018 (a learned vector
for each difference), Liu et al. 2021, "Swin" (a learned bias for each), Press et al. 2022, "ALiBi" (a fixed slope).

Shapes: n query and m key positions along one axis.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Position = Literal["none", "relative", "decay"]
AXES = "tyx"


class PositionBias(nn.Module):
    """The bias b_t(d_t) + b_y(d_y) + b_x(d_x) of a pair of positions, d the key's place less the query's.

    Places are in pixels of the grid of queries, frames along t; a pooled key is at the middle of the pixels that it is
    the maximum of, so its differences end in .5. All parameters start at 0, and so does the bias.

    Args:
        axes: those of the grid, a part of t, y and x.
    """

    def __init__(self, axes: Sequence[str]):
        super().__init__()
        self.axes = tuple(axes)

    def forward(self, sizes: Sequence[tuple[int, int, int]]) -> list[Tensor]:
        """Return (n, m) for each axis, as `nlvideo.ops.softmax_attention` takes them.

        Args:
            sizes: n, m and the number of pixels that a key stands for, for each axis.
        """
        bias = []
        for axis, (n, m, pooled) in zip(self.axes, sizes, strict=True):
            parameter = self.get_parameter(axis)
            options = {"device": parameter.device, "dtype": torch.promote_types(parameter.dtype, torch.float32)}
            queries, keys = torch.arange(n, **options), torch.arange(m, **options)
            difference = keys * pooled + (pooled - 1) / 2 - queries[:, None]  # (n, m)
            bias.append(self.of_differences(parameter, difference, n))
        return bias

    def of_differences(self, parameter: Tensor, difference: Tensor, n: int) -> Tensor:
        """Return the bias (n, m) of differences (n, m) along an axis of n pixels."""
        raise NotImplementedError


class RelativeBias(PositionBias):
    """A number for each difference along each axis of a grid of `size`: 2 size - 1 for each axis.

    Between them the bias is linear. Another grid of n pixels stretches it: a difference d there is
    d (size - 1) / (n - 1) here, so the largest differences of both agree.
    """

    def __init__(self, axes: Sequence[str], size: Sequence[int]):
        super().__init__(axes)
        for axis in self.axes:
            self.register_parameter(axis, nn.Parameter(torch.zeros(2 * size[AXES.index(axis)] - 1)))

    def of_differences(self, parameter: Tensor, difference: Tensor, n: int) -> Tensor:
        reach = (len(parameter) - 1) // 2
        number = torch.arange(-reach, reach + 1, device=difference.device, dtype=difference.dtype)
        stretched = difference * reach / max(n - 1, 1)  # (n, m)
        share = (1 - (stretched[..., None] - number).abs()).clamp(min=0)  # (n, m, 2 size - 1)
        return (share * parameter).sum(dim=2)  # (n, m)


class DecayBias(PositionBias):
    """A fall-off that is linear in the distance, with a slope for each direction of each axis: -s_before |d| if d < 0,
    -s_after |d| if d > 0.

    Equal slopes do not tell before from after, so the two are learned apart.
    """

    def __init__(self, axes: Sequence[str]):
        super().__init__(axes)
        for axis in self.axes:
            self.register_parameter(axis, nn.Parameter(torch.zeros(2)))

    def of_differences(self, parameter: Tensor, difference: Tensor, n: int) -> Tensor:
        before, after = parameter
        return difference.clamp(max=0) * before - difference.clamp(min=0) * after  # (n, m)


def make_position_bias(
    position: Position, axes: Sequence[str], size: tuple[int, int, int] | None
) -> PositionBias | None:
    """Return what `NonLocal`'s `position` and `position_size` ask for.

    Raises:
        ValueError: a size that would have no effect, or an impossible one.
    """
    if size is not None and (position != "relative" or min(size) < 1):
        raise ValueError(
            f"NonLocal: position_size {size} with position {position!r}; expected three sizes of at least 1, with "
            "'relative' only"
        )
    if position == "relative":
        return RelativeBias(axes, size or (8, 14, 14))
    return DecayBias(axes) if position == "decay" else None
