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
