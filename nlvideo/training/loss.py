"""Loss and accuracy of a training batch.

Shapes: B clips, L classifiers, K classes.
"""

import math

from torch import Tensor
from torch.nn import functional as F


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
