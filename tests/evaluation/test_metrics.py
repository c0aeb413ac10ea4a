"""Accuracies against sorting, and their rule for ties."""

import numpy as np
import pytest

from nlvideo.evaluation.metrics import accuracies, top_k


def test_accuracies_against_sorting():
    rng = np.random.default_rng(0)
    scores, labels = rng.dirichlet(np.ones(7), 200), rng.integers(0, 6, 200)  # no video of class 6
    ranked = np.argsort(-scores, axis=1)
    right = ranked[:, 0] == labels

    result = accuracies(scores, labels)

    assert result["top1"] == pytest.approx(right.mean())
    assert result["top5"] == pytest.approx((ranked[:, :5] == labels[:, None]).any(axis=1).mean())
    assert result["mean_class"] == pytest.approx(np.mean([right[labels == k].mean() for k in range(6)]))
    assert result["loss"] == pytest.approx(-np.log(scores[range(200), labels]).mean())


def test_top5_of_three_classes_counts_all_of_them():
    assert accuracies(np.random.default_rng(0).random((10, 3)), np.arange(10) % 3)["top5"] == 1.0


def test_of_equal_scores_the_lower_class_is_better():
    scores, labels = np.full((4, 4), 0.25), np.arange(4)
    assert top_k(scores, labels, 1).tolist() == [True, False, False, False]
    assert top_k(scores, labels, 2).tolist() == [True, True, False, False]


def test_mean_class_leaves_out_classes_without_videos():
    scores = np.eye(4)[[0, 1, 3]]  # class 3 is predicted and has no video
    assert accuracies(scores, np.array([0, 1, 1]))["mean_class"] == pytest.approx((1 + 1 / 2) / 2)
