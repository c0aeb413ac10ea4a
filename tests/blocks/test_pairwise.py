"""A pairwise function is one entry of one table: a new one trains, evaluates, is counted and exported."""

from functools import partial

import pytest
import torch
from torch.nn import functional as F

from nlvideo.blocks import NonLocal
from nlvideo.checkpoint.export import trace
from nlvideo.cost.count import count_cost
from nlvideo.models import Insert, ResNet3d
from nlvideo.ops import PAIRWISE, PairwiseFunction, attention_weights


@pytest.fixture
def sigmoid(monkeypatch):
    """f = sigmoid(theta_i . phi_j), C(x) = M."""
    function = PairwiseFunction(normalise=lambda scores: scores.sigmoid() / scores.shape[-1])
    monkeypatch.setitem(PAIRWISE, "sigmoid", function)
    return "sigmoid"


def network(**settings):
    settings = {"depth": [1, 1, 1, 1], "width": 8, "num_classes": 5, "temporal_stride": 1, **settings}
    return ResNet3d("c2d", **settings)


def test_a_new_pairwise_function_in_one_entry(sigmoid):
    torch.manual_seed(0)
    after = Insert(partial(NonLocal, pairwise=sigmoid, init_scale=1.0), {"res2": 1})
    net, video = network(after=after), torch.randn(2, 3, 8, 64, 64)
    block = next(module for module in net.modules() if isinstance(module, NonLocal))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def loss():
        return F.cross_entropy(net(video), torch.tensor([1, 4]))

    before, started = loss(), block.conv_theta.weight.clone()
    before.backward()
    optimizer.step()
    assert loss() < before
    assert not torch.equal(block.conv_theta.weight, started)

    net.eval()
    x = torch.randn(1, block.channels, 4, 6, 6)
    query, key, value = block.project(x)
    rows = attention_weights(sigmoid, query, key, torch.arange(query.shape[1]))
    y = (rows @ value).mT.reshape(1, -1, 4, 6, 6)
    torch.testing.assert_close(block(x), x + block.norm(block.conv_out(y)))

    net.preprocessing = {"clip_frames": 8}
    torch.testing.assert_close(trace(net).module()(video), net(video), rtol=1e-4, atol=1e-4)

    with torch.device("meta"):
        plain, filled = network(), network(after=after)
    n, m, c = 8 * 16 * 16, 8 * 8 * 8, block.channels
    added = count_cost(filled, (8, 64, 64)).macs - count_cost(plain, (8, 64, 64)).macs
    assert added == 2 * (n + m) * c * (c // 2) + n * m * c


def test_a_block_refuses_a_scale_that_has_no_softmax(sigmoid):
    with pytest.raises(ValueError, match="scale belongs to the softmax, which sigmoid has not"):
        NonLocal(8, pairwise=sigmoid, scale=True)
