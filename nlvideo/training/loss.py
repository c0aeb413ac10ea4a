"""Loss and accuracy of a training batch, and their means over an epoch.

Shapes: B clips, L classifiers, K classes.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric


def classification_loss(logits: Tensor, label: Tensor, label_smoothing: float) -> Tensor:
    """Return the sum of the classifiers' cross entropies, each a mean over the clips.

    Args:
        logits: [B, L, K]. The network's own classifier comes first, then the auxiliary ones that its head may have.
        label: int64 [B], or a distribution over the classes [B, K] if clips are mixed.
        label_smoothing: share of the label that goes to all classes alike (Szegedy et al. 2016, section 7).
    """
    num_classifiers = logits.shape[1]
    labels = label.repeat_interleave(num_classifiers, dim=0)  # (B * L) or (B * L, K)
    return num_classifiers * F.cross_entropy(logits.flatten(0, 1), labels, label_smoothing=label_smoothing)


def hits(logits: Tensor, label: Tensor) -> Tensor:
    """Return how much of each clip's label the highest logit has: 0 or 1, or the share of that class in a mixed label.

    Args:
        logits: [B, K].
        label: int64 [B], or a distribution over the classes [B, K].
    """
    guess = logits.argmax(dim=1)  # (B)
    return (guess == label).float() if label.ndim == 1 else label.gather(1, guess[:, None])[:, 0]  # (B)


def weight_in_step(batch_index: int, num_batches: int | float, accumulated: int) -> float:
    """Return what a batch's loss is multiplied by, so that a step takes the mean gradient of its batches.

    Lightning divides the loss by the number of accumulated batches also if the last step of an epoch has fewer.

    Args:
        batch_index: in the epoch, from 0.
        num_batches: of an epoch.
        accumulated: batches of a step.
    """
    left_over = num_batches % accumulated if num_batches != math.inf else 0
    return accumulated / left_over if batch_index >= num_batches - left_over else 1


class TrainMeans(nn.Module):
    """Means over the clips of an epoch, of all processes and over interruptions. No step waits for a GPU."""

    def __init__(self):
        super().__init__()
        # Only so does MeanMetric not look for NaN, which waits. It takes no weights then: each clip is a value.
        self.loss = MeanMetric(nan_strategy="disable")
        self.top1 = MeanMetric(nan_strategy="disable")

    def reset(self) -> None:
        self.loss.reset()
        self.top1.reset()

    def update(self, loss: Tensor, top1: Tensor) -> None:
        """Count a batch.

        Args:
            loss: mean over its clips.
            top1: of each of its clips [B], from 0 to 1.
        """
        self.loss.update(loss.detach().expand(len(top1)))
        self.top1.update(top1)

    def compute(self) -> dict[str, Tensor]:
        """Return the means over all processes. A collective call."""
        return {"train/loss_epoch": self.loss.compute(), "train/top1": self.top1.compute()}

    def sums(self) -> Tensor:
        """Return this process's sums of the loss, of the clips and of the accuracy: what `restore` takes."""
        return torch.stack([self.loss.mean_value, self.loss.weight, self.top1.mean_value])

    def restore(self, sums: list[float]) -> None:
        """Go on from sums over all processes, in one of them; the others begin at 0."""
        loss, clips, top1 = torch.tensor(sums, device=self.loss.device)
        self.loss.mean_value, self.loss.weight = loss, clips
        self.top1.mean_value, self.top1.weight = top1, clips.clone()
