"""Heads: from the last stage's map to logits."""

import pytest
import torch

from nlvideo.models import DualAttentionHead, Head

C, K = 16, 5


@pytest.fixture
def features():
    torch.manual_seed(0)
    return torch.randn(2, C, 4, 3, 5)


def test_the_plain_head_is_a_mean_and_a_linear_layer(features):
    head = Head(C, K, dropout=0.5).eval()
    expected = features.mean(dim=(2, 3, 4)) @ head.proj.weight.T + head.proj.bias
    torch.testing.assert_close(head(features), expected)


def test_logits_of_dual_attention_are_those_of_the_sum_of_its_branches(features):
    head = DualAttentionHead(C, K, dropout=0.5).eval()
    position, channel = head.branches(features)
    assert position.shape == channel.shape == (2, C // 4, 4, 3, 5)
    expected = (position + channel).mean(dim=(2, 3, 4)) @ head.proj.weight.T + head.proj.bias
    torch.testing.assert_close(head(features), expected)


def test_auxiliary_classifiers_speak_in_training_only(features):
    head = DualAttentionHead(C, K, dropout=0.0, auxiliary=True).eval()
    assert head(features).shape == (2, K)

    head.training = True  # the head alone: its norms stay in eval mode
    position, channel = (branch.mean(dim=(2, 3, 4)) for branch in head.branches(features))
    expected = [head.proj(position + channel), head.proj_position(position), head.proj_channel(channel)]
    torch.testing.assert_close(head(features), torch.stack(expected, dim=1))


def test_without_auxiliary_classifiers_training_has_the_same_logits(features):
    assert DualAttentionHead(C, K, dropout=0.0)(features).shape == (2, K)
    assert not [name for name, _ in DualAttentionHead(C, K, 0.0).named_parameters() if "proj_" in name]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_are_float32_in_bfloat16_and_under_autocast(features, dtype):
    """400 logits of bfloat16 would tie."""
    head = Head(C, 400, dropout=0.5).eval()
    features = features.to(dtype)
    expected = features.double().mean(dim=(2, 3, 4)) @ head.proj.weight.double().T + head.proj.bias
    with torch.autocast("cpu", torch.bfloat16):
        logits, scores = head(features), head.slide(features, side=9)
    assert logits.dtype == scores.dtype == torch.float32
    torch.testing.assert_close(logits.double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(scores.double(), expected.softmax(dim=1), rtol=1e-5, atol=1e-8)
