"""Measures of attention on clips: where the weight of a block lies, how it is spread, whether it depends on the query.

Weights w_ij of query i and key j are taken block by block of the queries, so the matrix is never in memory. Shares,
distances and entropy are of p_ij = |w_ij| / sum_j |w_ij|, which for the softmax functions is w_ij itself; queries whose
weights are all 0, as `concatenation` has them, are left out. `uniform` is the same measure of equal weights on all
positions that a query is compared with.

Shapes: B clips, F frames of a clip, N = T * H * W query positions, Q of them at once, M = T * H' * W' key positions.
"""

import math

import torch
from torch import Tensor

from nlvideo.analysis.geometry import Grid
from nlvideo.blocks import Block

MAX_WEIGHTS = 2**24  # in memory at once
NUM_SAMPLED = 32  # queries whose maps are compared by their Jensen-Shannon divergence

Measures = dict[str, Tensor]


@torch.no_grad()
def position_measures(block: Block, x: Tensor, grid: Grid, numbers: Tensor) -> Measures:
    """Return measures of a block's attention over positions.

    ::

        own_frame          sum of p_ij over the keys j of the query's own frame
        frames             sum_j p_ij |t_i - t_j|, in frames of the video
        pixels             sum_j p_ij of the distance of i and j in the frame, in pixels of the clip
        entropy            - sum_j p_ij log p_ij / log(number of positions that i is compared with)
        query_dependence   (1 - cos(w_i, w_j)) / 2, a mean over all pairs of queries (Cao et al. 2019, section 3.2)
        jensen_shannon     divergence of p_i and p_j in nats, a mean over the pairs of `NUM_SAMPLED` queries
        no_weight          share of queries whose weights are all 0
        lags               share of the weight on the frame that comes l = 1 - T, .., T - 1 frames of the map later

    All are means over queries. Pairs are of queries that are compared with the same keys: those of a frame in the
    domain ``space``, for example. ``own_frame_uniform`` and so on are of uniform attention.

    Args:
        x: what the block takes, [B, C, T, H, W].
        grid: where its positions lie in the clip, see `block_grids`.
        numbers: of the clips' frames in their videos, [B, F].

    Returns:
        float64 (B) each, lags (B, 2 T - 1), on the CPU. NaN if there is nothing to measure, as the entropy of a query
        that is compared with one position.
    """
    keys = grid.pooled(block.compares(x[:1], torch.zeros(1, 3, dtype=torch.long, device=x.device)).shape[1:])
    num_queries, num_keys = math.prod(grid.size), math.prod(keys.size)
    num_clips = max(MAX_WEIGHTS // (num_queries * num_keys), 1)
    distances = _frame_distances(grid, keys, numbers.to(x.device))  # (B, T, T)
    parts = [
        _clips_measures(block, clips, frames, grid, keys)
        for clips, frames in zip(x.split(num_clips), distances.split(num_clips), strict=True)
    ]
    return {name: torch.cat([part[name] for part in parts]).cpu() for name in parts[0]}


def channel_measures(weights: Tensor) -> Measures:
    """Return measures of the gates (B, C) of squeeze-and-excitation, or of the weights (B, C, C) of channel attention.

    gate_mean and gate_spread are the mean and standard deviation over channels; entropy (share of log C) and
    query_dependence of channel attention are as in `position_measures`, a channel in the place of a position.
    """
    weights = weights.double()
    if weights.ndim == 2:
        return {"gate_mean": weights.mean(dim=1).cpu(), "gate_spread": weights.std(dim=1, correction=0).cpu()}
    entropy = torch.special.entr(weights).sum(dim=2).mean(dim=1) / math.log(weights.shape[2])
    return {"entropy": entropy.cpu(), "query_dependence": cosine_distance(weights.transpose(1, 2)).cpu()}


def residual_measures(x: Tensor, z: Tensor) -> Measures:
    """Return how much a block adds, from its input and output [B, C, T, H, W].

    added is ||z - x|| / ||x||; input_distance and output_distance are the mean cosine distance of x_i and x_j, and of
    z_i - x_i and z_j - x_j, over all pairs of positions (Cao et al. 2019, Table 1).
    """
    x, added = x.flatten(2).double(), (z - x).flatten(2).double()  # (B, C, N)
    share = added.norm(dim=(1, 2)) / x.norm(dim=(1, 2))
    distances = {"input_distance": cosine_distance(x), "output_distance": cosine_distance(added)}
    return {name: values.cpu() for name, values in {"added": share, **distances}.items()}


def cosine_distance(vectors: Tensor) -> Tensor:
    """Return the mean of (1 - cos) / 2 over all pairs of n vectors, a vector with itself too: (B, D, n) -> (B).

    The mean of all cosines is the squared length of the mean unit vector. Zero vectors are left out.
    """
    lengths = vectors.norm(dim=1, keepdim=True)  # (B, 1, n)
    units = torch.where(lengths > 0, vectors / lengths, 0)
    mean = units.sum(dim=2) / (lengths > 0).sum(dim=2)  # (B, D)
    return (1 - mean.square().sum(dim=1)) / 2


def _clips_measures(block: Block, x: Tensor, distances: Tensor, grid: Grid, keys: Grid) -> Measures:
    positions = torch.cartesian_prod(*(torch.arange(n, device=x.device) for n in grid.size))  # (N, 3)
    chunk = max(MAX_WEIGHTS // (len(x) * math.prod(keys.size)), 1)
    sums: Measures = {}
    uniform: Measures = {}
    for some in positions.split(chunk):
        compared = block.compares(x, some)  # (Q, T, H', W')
        equal = compared.to(torch.promote_types(x.dtype, torch.float32)) / compared.sum(dim=(1, 2, 3), keepdim=True)
        _add(sums, _sums(block.attention_weights(x, some), compared, equal, some, grid, keys))
        _add(uniform, _sums(equal[None], compared, equal, some, grid, keys))
    measures = _means(sums, distances)
    del uniform["entropy"]  # 1
    of_uniform = _means({name: values.expand(len(x), *values.shape[1:]) for name, values in uniform.items()}, distances)
    for name in ("own_frame", "frames", "pixels", "lags"):
        measures[f"{name}_uniform"] = of_uniform[name]
    measures["no_weight"] = 1 - sums["queries"] / len(positions)
    pairs = (sums["per_key"] * sums["per_key_uniform"]).sum(dim=1)  # of queries with the same keys
    measures["query_dependence"] = (1 - sums["units"].square().sum(dim=1) / pairs).clamp(min=0) / 2
    measures["jensen_shannon"] = _jensen_shannon(block, x, positions)
    return measures


def _add(sums: Measures, more: Measures) -> None:
    for name, values in more.items():
        sums[name] = sums[name] + values if name in sums else values


def _sums(weights: Tensor, compared: Tensor, equal: Tensor, positions: Tensor, grid: Grid, keys: Grid) -> Measures:
    """Return sums over Q queries.

    Args:
        weights: (B, Q, T, H', W').
        compared: of the same positions, bool (Q, T, H', W').
        equal: uniform weights (Q, T, H', W').
        positions: of the queries, (Q, 3).
    """
    total = weights.abs().sum(dim=(2, 3, 4), keepdim=True)  # (B, Q, 1, 1, 1)
    has_weight = total[..., 0, 0, 0] > 0  # (B, Q)
    p = torch.where(total > 0, weights.abs() / total, 0)  # (B, Q, T, H', W')
    frames = p.sum(dim=(3, 4)).double()  # (B, Q, T)
    by_frame = frames.new_zeros(len(p), grid.size[0], keys.size[0]).index_add(1, positions[:, 0], frames)  # (B, T, T)
    pixels = torch.einsum("bqthw,qhw->b", p, _pixel_distances(positions, grid, keys).to(p.dtype))
    num_compared = compared.sum(dim=(1, 2, 3))  # (Q)
    entropy = torch.special.entr(p).sum(dim=(2, 3, 4)).double() / num_compared.double().log()  # (B, Q)
    lengths = weights.flatten(2).norm(dim=2, keepdim=True)  # (B, Q, 1)
    units = torch.where(lengths > 0, weights.flatten(2) / lengths, 0).sum(dim=1)  # (B, M)
    counted = has_weight.to(equal.dtype)
    return {
        "queries": has_weight.sum(dim=1).double(),  # (B)
        "by_frame": by_frame,
        "pixels": pixels.double(),
        "entropy": torch.where(has_weight, entropy, 0).sum(dim=1),
        "units": units.double(),
        "per_key": (counted @ compared.flatten(1).to(equal.dtype)).double(),  # (B, M): queries compared with a key
        "per_key_uniform": (counted @ equal.flatten(1)).double(),  # (B, M)
    }


def _means(sums: Measures, distances: Tensor) -> Measures:
    """Return means over queries, from their sums and the distances (B, T, T) of frames."""
    queries, by_frame = sums["queries"], sums["by_frame"]
    num_frames = by_frame.shape[1]
    lags = [by_frame.diagonal(lag, dim1=1, dim2=2).sum(dim=1) for lag in range(1 - num_frames, num_frames)]
    means = {
        "own_frame": by_frame.diagonal(dim1=1, dim2=2).sum(dim=1),
        "frames": (by_frame * distances).sum(dim=(1, 2)),
        **{name: sums[name] for name in ("pixels", "entropy") if name in sums},
        "lags": torch.stack(lags, dim=1),  # (B, 2 T - 1)
    }
    return {name: values / (queries[:, None] if values.ndim == 2 else queries) for name, values in means.items()}


def _frame_distances(grid: Grid, keys: Grid, numbers: Tensor) -> Tensor:
    """Return how many frames of the video lie between the frames of queries and of keys: [B, F] -> (B, T, T)."""

    def at(axis: Grid) -> Tensor:  # of a centre between two frames, the number between theirs
        places = torch.tensor([axis.centre((t, 0, 0))[0] for t in range(axis.size[0])], device=numbers.device)
        places = places.double().clamp(0, numbers.shape[1] - 1)
        low, high = places.floor().long(), places.ceil().long()
        return torch.lerp(numbers[:, low].double(), numbers[:, high].double(), places - low)  # (B, T)

    return (at(grid)[:, :, None] - at(keys)[:, None]).abs()


def _pixel_distances(positions: Tensor, grid: Grid, keys: Grid) -> Tensor:
    """Return the distance of queries (Q, 3) from all places of keys in a frame: (Q, H', W')."""
    rows, columns = (
        (grid.first[axis] + grid.step[axis] * positions[:, axis].double())[:, None]
        - (keys.first[axis] + keys.step[axis] * torch.arange(keys.size[axis], device=positions.device))
        for axis in (1, 2)
    )  # (Q, H'), (Q, W')
    return torch.hypot(rows[:, :, None], columns[:, None])


def _jensen_shannon(block: Block, x: Tensor, positions: Tensor) -> Tensor:
    """Return the mean Jensen-Shannon divergence of the maps of sampled queries, always of the same: (B)."""
    order = torch.randperm(len(positions), generator=torch.Generator().manual_seed(0))[:NUM_SAMPLED]
    sampled = positions[order.to(positions.device)]  # (Q, 3)
    compared = block.compares(x, sampled).flatten(1)  # (Q, M)
    weights = block.attention_weights(x, sampled).flatten(2).abs()  # (B, Q, M)
    total = weights.sum(dim=2)  # (B, Q)
    p = torch.where(total[..., None] > 0, weights / total[..., None], 0)
    entropy = torch.special.entr(p).sum(dim=2)  # (B, Q)
    has_weight = (total > 0).double()  # (B, Q)
    same_keys = ((compared.float() @ compared.float().t()) > 0).double()  # (Q, Q)
    divergences = pairs = x.new_zeros(len(x), dtype=torch.float64)  # (B)
    for i in range(len(sampled) - 1):
        middle = torch.special.entr((p[:, i, None] + p[:, i + 1 :]) / 2).sum(dim=2)  # (B, q)
        divergence = middle - (entropy[:, i, None] + entropy[:, i + 1 :]) / 2
        counted = same_keys[i, i + 1 :] * has_weight[:, i, None] * has_weight[:, i + 1 :]  # (B, q)
        divergences = divergences + (divergence.clamp(min=0) * counted).sum(dim=1)
        pairs = pairs + counted.sum(dim=1)
    return divergences / pairs
