"""Parameters and multiply-adds of the reference architectures, as counted elsewhere."""

import functools

import pytest
import torch

from nlvideo.blocks import NonLocal
from nlvideo.cost import count_cost
from nlvideo.models import Insert, ResNet3d

# arch, depth, placement: millions of parameters, GMACs at 224 and at 256; 8 frames. Counted by fvcore in the
# networks of SlowFast, which adds two for each output of a batch norm.
SHORT = [
    ("c2d", 50, "none", 24.33, 19.62, 25.63),
    ("c2d", 50, "nl5", 31.69, 27.76, 37.46),
    ("c2d", 50, "nl10", 39.04, 35.90, 49.29),
    ("i3d", 50, "none", 28.04, 28.54, 37.28),
    ("i3d", 50, "nl5", 35.40, 36.68, 49.10),
    ("i3d", 50, "nl10", 42.76, 44.82, 60.93),
    ("c2d", 101, "none", 43.32, 34.51, 45.08),
    ("c2d", 101, "nl5", 50.68, 42.65, 56.91),
    ("i3d", 101, "none", 51.75, 47.13, 61.56),
    ("i3d", 101, "nl5", 59.11, 55.27, 73.38),
]


@pytest.mark.parametrize(("arch", "depth", "at", "params", "macs_224", "macs_256"), SHORT)
def test_clips_of_8_frames(arch, depth, at, params, macs_224, macs_256):
    with torch.device("meta"):
        net = ResNet3d(arch, depth, after=Insert(at=at))
    small, large = (count_cost(net, (8, side, side)) for side in (224, 256))
    assert small.params / 1e6 == pytest.approx(params, abs=0.006)
    assert (small.macs + small.norm_macs) / 1e9 == pytest.approx(macs_224, rel=0.001)
    assert (large.macs + large.norm_macs) / 1e9 == pytest.approx(macs_256, rel=0.001)


# The same at 32 frames and 224 pixels, where the published numbers leave out the norms: GMACs.
LONG = [
    ("c2d", "none", {}, 20.44),
    ("i3d", "none", {}, 33.13),
    ("i3d_3x3x3", "none", {}, 39.09),
    ("c2d", "nl5", {}, 28.57),
    ("i3d", "nl5", {}, 41.26),
    ("c2d", "nl5", {"subsample": False}, 40.62),
]


@pytest.mark.parametrize(("arch", "at", "options", "macs"), LONG)
def test_clips_of_32_frames(arch, at, options, macs):
    with torch.device("meta"):
        net = ResNet3d(arch, geometry="32x2", after=Insert(functools.partial(NonLocal, **options), at))
    assert count_cost(net, (32, 224, 224)).macs / 1e9 == pytest.approx(macs, rel=0.001)


def test_parameters_of_i3d_3x3x3():
    with torch.device("meta"):
        net = ResNet3d("i3d_3x3x3")
    assert count_cost(net, (8, 64, 64)).params / 1e6 == pytest.approx(33.43, abs=0.006)


@pytest.mark.parametrize(("channels", "params"), [(512, 0.527), (1024, 2.102)])
def test_parameters_of_one_block(channels, params):
    assert sum(each.numel() for each in NonLocal(channels).parameters()) / 1e6 == pytest.approx(params, abs=0.0006)


@pytest.mark.parametrize("pairwise", ["gaussian", "embedded_gaussian", "dot_product", "concatenation"])
def test_attention_counts_as_in_the_papers_whatever_computes_it(pairwise):
    """N M (D + E) multiply-adds, and N M E for concatenation, where the scores are sums."""
    settings = {"depth": [1, 1, 1, 1], "width": 8}
    with torch.device("meta"):
        plain = ResNet3d(**settings)
        filled = ResNet3d(**settings, after=Insert(functools.partial(NonLocal, pairwise=pairwise), {"res2": 1}))
    c, d, n, m = 32, 16, 8 * 56 * 56, 8 * 28 * 28
    embedded = pairwise != "gaussian"
    projections = n * c * d * (2 if embedded else 1) + m * c * d * (2 if embedded else 1)  # theta, out; phi, g
    pairs = {"gaussian": c + d, "concatenation": d}.get(pairwise, 2 * d) * n * m
    scores = (n + m) * d if pairwise == "concatenation" else 0
    clip = (8, 224, 224)
    added = count_cost(filled, clip).macs - count_cost(plain, clip).macs
    assert added == projections + pairs + scores
