"""Position biases: a number for each pair of positions, as a sum of one matrix for each axis of their grids.

    bias[i, j] = sum_a bias_a[i_a, j_a],    i = (i_1, .., i_A) on the grid of queries, j on that of keys, row by row

so for a clip the N x M numbers are those of T x T', H x H' and W x W'. They are added to the scores of a softmax.

Shapes: B clips, N = n_1 * .. * n_A query positions, M = m_1 * .. * m_A key positions, Q chosen query positions, D
channels, P channels that stand for the bias.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nlvideo.ops.forms import bias_channels
from nlvideo.ops.layout import append_channels
from nlvideo.ops.precision import widened


def check_bias(bias: Sequence[Tensor], n: int, m: int) -> None:
    """Raise ValueError unless the matrices are those of grids of N and M positions; no matrices are no bias."""
    fits = all(axis.ndim == 2 and axis.is_floating_point() for axis in bias)
    if bias and not (fits and [math.prod([axis.shape[side] for axis in bias]) for side in (0, 1)] == [n, m]):
        received = ", ".join(f"{tuple(axis.shape)} {axis.dtype}" for axis in bias)
        raise ValueError(
            f"bias: expected a floating-point matrix (n_a, m_a) for each axis, with N = {n} the product of all n_a and "
            f"M = {m} that of all m_a; got {received}"
        )


def bias_matrix(bias: Sequence[Tensor], positions: Tensor | None = None) -> Tensor | None:
    """Return the bias of all pairs (N, M), or of chosen query positions (Q, M), in float32 or better; None of none."""
    matrix = None
    for axis in _over_grid(bias):
        rows = axis if positions is None else axis[positions]  # (N or Q, m_a)
        matrix = rows if matrix is None else (matrix[:, :, None] + rows[:, None]).flatten(1)  # (N or Q, m_1 * .. * m_a)
    return matrix


def append_bias(query: Tensor, key: Tensor, bias: Sequence[Tensor], scale: float) -> tuple[Tensor, Tensor]:
    """Return query (B, N, D + P) and key (B, M, D + P) with scale * q_i . k_j increased by the bias of i and j.

    The query takes the row i_a of each bias_a, and the key the unit vector of j_a: their inner product is the bias.
    So every form of attention adds it, and its gradient is that of the query, summed over blocks like that. In half
    precision each number is a sum of two, or the bias would be rounded where scores are not.
    """
    rows = torch.cat(_over_grid(bias), 1) / scale  # (N, P)
    units = [torch.eye(axis.shape[1], dtype=query.dtype, device=query.device) for axis in bias]
    columns = torch.cat(_over_grid(units, query.dtype), 1)  # (M, P)
    if rows.dtype != query.dtype:
        high = rows.to(query.dtype)
        rows, columns = torch.cat([high, (rows - high).to(query.dtype)], 1), columns.repeat(1, 2)
    padding = bias_channels([axis.shape[1] for axis in bias], query.dtype, query.device) - rows.shape[1]
    rows, columns = (F.pad(x, (0, padding)) for x in (rows, columns))
    return append_channels(query, rows), append_channels(key, columns)


def _over_grid(axes: Sequence[Tensor], dtype: torch.dtype | None = None) -> list[Tensor]:
    """Return for each position of the grid n_1 x .. x n_A its row of each (n_a, m_a): a list of (N, m_a)."""
    grid, rows = [axis.shape[0] for axis in axes], []
    for a, axis in enumerate(axes):
        axis = widened(axis) if dtype is None else axis
        alone = axis[(None,) * a + (slice(None),) + (None,) * (len(grid) - 1 - a)]  # (1, .., n_a, .., 1, m_a)
        rows.append(alone.expand(*grid, axis.shape[1]).flatten(0, -2))  # (N, m_a)
    return rows
