"""SqueezeExcite by hand (Hu et al. 2018, Eq. 2 to 4)."""

import pytest
import torch

from nlvideo.blocks import SqueezeExcite


def test_equals_the_paper_by_hand():
    torch.manual_seed(0)
    block = SqueezeExcite(8, reduction=4).double()
    x = torch.randn(2, 8, 3, 4, 5, dtype=torch.float64)
    expected = torch.empty_like(x)
    for b in range(2):
        z = torch.stack([x[b, c].sum() / (3 * 4 * 5) for c in range(8)])
        hidden = block.fc1.weight @ z + block.fc1.bias
        hidden = torch.where(hidden > 0, hidden, torch.zeros_like(hidden))
        s = 1 / (1 + torch.exp(-(block.fc2.weight @ hidden + block.fc2.bias)))
        for c in range(8):
            expected[b, c] = s[c] * x[b, c]
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize(("channels", "squeezed"), [(256, 16), (8, 1)])
def test_the_reduction_is_16_and_leaves_a_channel(channels, squeezed):
    assert SqueezeExcite(channels).fc1.weight.shape == (squeezed, channels)


def test_reduction_below_1_is_an_error():
    with pytest.raises(ValueError, match="reduction must be at least 1, got 0"):
        SqueezeExcite(8, reduction=0)
