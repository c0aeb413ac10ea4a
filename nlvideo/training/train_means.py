"""Loss and accuracy of a whole training epoch, over all processes and over interruptions."""

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric


class TrainMeans(nn.Module):
    """Means over the clips of an epoch. Nothing in them waits for a GPU before the end of the epoch."""

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
