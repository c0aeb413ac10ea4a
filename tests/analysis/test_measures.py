"""Measures of attention, recomputed by hand from the explicit matrix, query by query and pair by pair."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from nlvideo.analysis import measures
from nlvideo.analysis.geometry import Grid, block_grids
from nlvideo.analysis.maps import block_names
from nlvideo.analysis.measures import channel_measures, position_measures, residual_measures
from nlvideo.blocks import ChannelAttention, DualAttention, NonLocal, PositionAttention, SqueezeExcite
from nlvideo.models import Insert, ResNet3d
from nlvideo.ops import PAIRWISE

C, SIZE = 6, (4, 4, 6)
GRID = Grid((0.5, 3.0, 1.0), (2.0, 4.0, 8.0), SIZE)  # of 8 frames, merged in twos
NUMBERS = torch.tensor([[3, 11, 19, 27, 35, 43, 51, 59], [0, 8, 16, 17, 17, 17, 17, 17]])  # the second video is short
MERGED = [[7, 23, 39, 55], [4, 16.5, 17, 17]]  # of the map's frames
POSITIONS = list(itertools.product(*map(range, SIZE)))
OPTIONS = [
    {},
    {"subsample": False},
    {"domain": "space"},
    {"domain": "time", "subsample": False},
    {"temporal_groups": 2},
]


def clips() -> torch.Tensor:
    return torch.randn(2, C, *SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def non_local(**options) -> NonLocal:
    torch.manual_seed(0)
    return NonLocal(C, init_std=0.7, **options).double().eval()


def is_compared(block, query, key) -> bool:
    """By what the block's options say."""
    is_grouped = isinstance(block, NonLocal)
    domain, groups = (block.grouping.domain, block.grouping.temporal_groups) if is_grouped else ("spacetime", 1)
    if domain == "space":
        return query[0] == key[0]
    if domain == "time":
        return query[1:] == key[1:]
    frames = SIZE[0] // groups
    return query[0] // frames == key[0] // frames


def entropy(p) -> float:
    return -sum(each * math.log(each) for each in p if each > 0)


def of_matrix(matrix, block, numbers, pooled) -> dict:
    """The measures of a matrix of weights (N, M) of one clip."""
    keys = list(itertools.product(range(SIZE[0]), range(SIZE[1] // pooled), range(SIZE[2] // pooled)))
    middle = (pooled - 1) / 2
    own, frames, pixels, entropies, lags, rows = [], [], [], [], np.zeros(2 * SIZE[0] - 1), []
    for query, row in zip(POSITIONS, matrix, strict=True):
        if not row.any():
            continue
        p = abs(row) / abs(row).sum()
        num_compared = sum(is_compared(block, query, key) for key in keys)
        own.append(sum(share for share, key in zip(p, keys, strict=True) if key[0] == query[0]))
        frames.append(sum(share * abs(numbers[query[0]] - numbers[k[0]]) for share, k in zip(p, keys, strict=True)))
        distances = [
            math.hypot(4 * (query[1] - k[1] * pooled - middle), 8 * (query[2] - k[2] * pooled - middle)) for k in keys
        ]
        pixels.append(p @ distances)
        entropies.append(entropy(p) / math.log(num_compared) if num_compared > 1 else math.nan)
        for share, key in zip(p, keys, strict=True):
            lags[key[0] - query[0] + SIZE[0] - 1] += share
        rows.append((query, row, p))
    cosines, divergences = [], []
    for (query, a, p), (other, b, q) in itertools.product(rows, rows):
        if any(is_compared(block, query, key) and is_compared(block, other, key) for key in keys):
            cosines.append((1 - a @ b / math.sqrt((a @ a) * (b @ b))) / 2)
            if query < other:
                divergences.append(entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2)
    means = {"own_frame": own, "frames": frames, "pixels": pixels, "entropy": entropies}
    means |= {"query_dependence": cosines, "jensen_shannon": divergences}
    return {
        **{name: np.mean(values) if values else math.nan for name, values in means.items()},
        "no_weight": 1 - len(rows) / len(matrix),
        "lags": lags / len(rows) if rows else lags * math.nan,
    }


def check(block, pooled: int) -> None:
    x = clips()
    found = position_measures(block, x, GRID, NUMBERS)
    weights = block.attention_weights(x, torch.tensor(POSITIONS)).detach().flatten(2).numpy()  # (B, N, M)
    compared = block.compares(x, torch.tensor(POSITIONS)).flatten(1).numpy()  # (N, M)
    assert not weights[:, ~compared].any()
    for clip, numbers in enumerate(MERGED):
        expected = of_matrix(weights[clip], block, numbers, pooled)
        uniform = of_matrix(compared / compared.sum(axis=1, keepdims=True), block, numbers, pooled)
        expected |= {f"{name}_uniform": uniform[name] for name in ("own_frame", "frames", "pixels", "lags")}
        for name, value in expected.items():
            assert found[name][clip].numpy() == pytest.approx(value, abs=1e-6, nan_ok=True), name
        assert found.keys() == expected.keys()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_measures_are_those_of_the_explicit_matrix(pairwise, options, monkeypatch):
    """For each query and pair of queries, whether or not the clips and queries are taken in parts."""
    monkeypatch.setattr(measures, "NUM_SAMPLED", 1000)  # so that all pairs are
    monkeypatch.setattr(measures, "MAX_WEIGHTS", 999)
    check(non_local(pairwise=pairwise, **options), 2 if options.get("subsample", True) else 1)


def test_measures_of_position_attention():
    torch.manual_seed(0)
    measured = PositionAttention(C, reduction=2).double()
    measures_of_all = position_measures(measured, clips(), GRID, NUMBERS)
    expected = of_matrix(
        measured.attention_weights(clips(), torch.tensor(POSITIONS))[0].flatten(1).detach().numpy(),
        measured,
        MERGED[0],
        1,
    )
    for name in ("own_frame", "frames", "pixels", "entropy", "query_dependence"):
        assert float(measures_of_all[name][0]) == pytest.approx(expected[name], abs=1e-6)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_uniform_attention_has_the_uniform_values_and_no_query_dependence(options):
    block = non_local(**options)
    nn.init.zeros_(block.conv_theta.weight)
    found = position_measures(block, clips(), GRID, NUMBERS)
    for name in ("own_frame", "frames", "pixels", "lags"):
        torch.testing.assert_close(found[name], found[f"{name}_uniform"], rtol=1e-6, atol=1e-7)
    assert found["entropy"].numpy() == pytest.approx(1, abs=1e-9)
    assert found["query_dependence"].numpy() == pytest.approx(0, abs=1e-9)
    assert found["jensen_shannon"].numpy() == pytest.approx(0, abs=1e-9)
    assert found["lags"].sum(dim=1).numpy() == pytest.approx(1)


def test_one_map_for_all_queries_has_no_query_dependence():
    """Global attention, as GCNet has it: the scores are of the keys alone."""
    block = non_local(pairwise="embedded_gaussian")
    nn.init.zeros_(block.conv_theta.weight)
    nn.init.normal_(block.conv_theta.bias, std=3.0, generator=torch.Generator().manual_seed(0))
    found = position_measures(block, clips(), GRID, NUMBERS)
    assert found["query_dependence"].numpy() == pytest.approx(0, abs=1e-9)
    assert found["jensen_shannon"].numpy() == pytest.approx(0, abs=1e-9)
    assert (found["entropy"] < 0.95).all()  # and the map is no uniform one


def test_maps_without_overlap_are_as_far_apart_as_maps_can_be():
    block = non_local(domain="time", subsample=False)
    for conv in (block.conv_theta, block.conv_phi):
        nn.init.zeros_(conv.weight)
        nn.init.eye_(conv.weight.data[:, :3].view(3, 3))
    x = torch.zeros(1, C, *SIZE, dtype=torch.float64)
    x[0, :3, :3] = 100 * torch.eye(3, dtype=torch.float64)[:, :, None, None]  # frames 0 to 2 look at themselves alone
    x[0, :3, 3] = 100
    block.scale = 1.0
    found = position_measures(block, x[:, :, :3], Grid((0.0,) * 3, (1.0,) * 3, (3, 4, 6)), torch.tensor([[0, 1, 2]]))
    assert float(found["own_frame"]) == pytest.approx(1)
    assert float(found["entropy"]) == pytest.approx(0, abs=1e-9)
    # Of nine pairs, three are of a query with itself.
    assert float(found["query_dependence"]) == pytest.approx(0.5 * 6 / 9)
    assert float(found["jensen_shannon"]) == pytest.approx(math.log(2))


def test_what_a_block_adds():
    block, x = non_local(init_scale=1.0), clips()
    z = block(x).detach()
    found = residual_measures(x, z)
    for clip in range(2):
        before, added = x[clip].flatten(1).numpy(), (z - x)[clip].flatten(1).numpy()
        assert float(found["added"][clip]) == pytest.approx(np.linalg.norm(added) / np.linalg.norm(before))
        for name, vectors in {"input_distance": before, "output_distance": added}.items():
            pairs = itertools.product(vectors.T, vectors.T)
            distances = [(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)) / 2 for a, b in pairs]
            assert float(found[name][clip]) == pytest.approx(np.mean(distances))


def test_measures_of_channels():
    x = clips()
    gates = SqueezeExcite(C, reduction=2).double().channel_weights(x).detach()
    found = channel_measures(gates)
    assert found["gate_mean"].tolist() == pytest.approx(gates.numpy().mean(axis=1))
    assert found["gate_spread"].tolist() == pytest.approx(gates.numpy().std(axis=1))
    weights = ChannelAttention(C).double().channel_weights(x / 5)
    found = channel_measures(weights)
    for clip, matrix in enumerate(weights.numpy()):
        assert float(found["entropy"][clip]) == pytest.approx(np.mean([entropy(row) for row in matrix]) / math.log(C))
        cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a in matrix for b in matrix]
        assert float(found["query_dependence"][clip]) == pytest.approx((1 - np.mean(cosines)) / 2)


def test_blocks_within_a_block_have_its_grid():
    net = ResNet3d("c2d", [1, 1, 1, 1], 3, width=4, residual="basic", after=Insert(DualAttention, {"res3": [0]}))
    names, grids = block_names(net), block_grids(net, (4, 64, 64))
    assert set(names.values()) < set(grids)
    assert len(set(grids.values())) == 1
