import numpy as np
import pytest
import torch

from nlvideo.metrics import VideoScores, accuracies


def test_accuracies_against_numpy():
    rng = np.random.default_rng(0)
    scores, labels = rng.random((200, 7)), rng.integers(0, 6, 200)  # no video of class 6
    ranked = np.argsort(-scores, axis=1)
    right = ranked[:, 0] == labels

    result = accuracies(torch.from_numpy(scores), torch.from_numpy(labels))

    assert result["top1"] == pytest.approx(right.mean())
    assert result["top5"] == pytest.approx((ranked[:, :5] == labels[:, None]).any(axis=1).mean())
    assert result["mean_class"] == pytest.approx(np.mean([right[labels == k].mean() for k in range(6)]))


def test_top5_of_three_classes_counts_all_of_them():
    assert accuracies(torch.rand(10, 3), torch.randint(3, (10,)))["top5"] == 1.0


def test_a_video_votes_once_and_order_does_not_matter():
    metric = VideoScores()
    metric.update(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 0]), torch.tensor([5, 2]))
    metric.update(torch.tensor([[0.1, 0.9], [0.3, 0.7]]), torch.tensor([1, 1]), torch.tensor([5, 3]))  # 5 again

    scores, labels, indices = metric.gather()

    assert indices.tolist() == [2, 3, 5]
    assert labels.tolist() == [0, 1, 1]
    torch.testing.assert_close(scores, torch.tensor([[0.8, 0.2], [0.3, 0.7], [0.1, 0.9]]))


def test_one_video_is_a_set_of_one():
    metric = VideoScores()
    metric.update(torch.tensor([[0.1, 0.9]]), torch.tensor([1]), torch.tensor([5]))
    assert [tuple(part.shape) for part in metric.gather()] == [(1, 2), (1,), (1,)]


def test_nothing_scored_is_empty_not_an_error():
    assert [len(part) for part in VideoScores().gather()] == [0, 0, 0]
