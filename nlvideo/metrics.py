"""Accuracies with one vote a video.

Letters: B videos of a batch, K classes.
"""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


def accuracies(scores: Tensor, labels: Tensor) -> dict[str, float]:
    """Top-1, top-5 and mean-class accuracy, from 0 to 1.

    Top-5 counts the five best classes, or all of them where there are fewer. Mean-class averages the top-1 accuracy
    of each class that has a video.

    Args:
        scores: [B, K], B at least 1.
        labels: [B].
    """
    best = scores.topk(min(5, scores.shape[1]), dim=1).indices  # (B, 5)
    hit = best == labels[:, None]  # (B, 5)
    num_videos = torch.bincount(labels)  # (K)
    num_right = torch.bincount(labels[hit[:, 0]], minlength=len(num_videos))  # (K)
    present = num_videos > 0
    return {
        "top1": hit[:, 0].double().mean().item(),
        "top5": hit.any(dim=1).double().mean().item(),
        "mean_class": (num_right[present] / num_videos[present].double()).mean().item(),
    }


class VideoScores(Metric):
    """Gathers one row of scores for each video, over all processes; a video that came twice (a distributed sampler
    pads) counts once."""

    full_state_update = False

    def __init__(self):
        super().__init__()
        for state in ("scores", "labels", "indices"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(self, scores: Tensor, labels: Tensor, indices: Tensor) -> None:
        """scores [B, K], labels [B], indices [B]: rows of the manifest."""
        self.scores.append(scores.detach().float())
        self.labels.append(labels)
        self.indices.append(indices)

    def gather(self) -> tuple[Tensor, Tensor, Tensor]:
        """As `compute`, which squeezes away the dimension of a single video: torchmetrics does that to any metric."""
        scores, labels, indices = self.compute()
        return (
            scores if scores.ndim == 2 else scores.reshape(labels.numel(), -1),
            labels.reshape(-1),
            indices.reshape(-1),
        )

    def compute(self) -> tuple[Tensor, Tensor, Tensor]:
        """Scores [n, K], labels [n] and indices [n] of the n distinct videos, by index, on the CPU; n may be 0."""
        if not self.scores:
            return torch.empty(0, 0), torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.long)
        scores, labels, indices = (dim_zero_cat(state).cpu() for state in (self.scores, self.labels, self.indices))
        distinct, position = indices.unique(return_inverse=True)
        first = torch.full_like(distinct, len(indices)).scatter_reduce_(
            0, position, torch.arange(len(indices)), reduce="amin"
        )
        return scores[first], labels[first], distinct
