"""Classification heads: from the last stage's map to logits.

Shapes: B clips, C channels, T frames, H x W positions, K classes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nlvideo.blocks.dual_attention import DualBranches, TimeKernel
from nlvideo.ops.inputs import without_autocast


class Classifier(nn.Linear):
    """Linear layer that computes in float32 at least, under autocast and in a bfloat16 network too.

    bfloat16 has 8 bits: the best two of 400 logits would often tie.
    """

    def forward(self, x: Tensor) -> Tensor:
        dtype = _at_least_float32(x)
        with without_autocast(x):
            return F.linear(x.to(dtype), self.weight.to(dtype), None if self.bias is None else self.bias.to(dtype))


def _at_least_float32(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


class Head(nn.Module):
    """Mean over T, H, W, dropout, linear: [B, C, T, H, W] -> [B, K]."""

    def __init__(self, channels: int, num_classes: int, dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.proj = Classifier(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.features(x), self.proj)

    def features(self, x: Tensor) -> Tensor:
        """Return the map that is averaged, from [B, C, T, H, W]."""
        return x

    def classify(self, x: Tensor, proj: Classifier) -> Tensor:
        means = x.mean(dim=(2, 3, 4), dtype=_at_least_float32(x))  # (B, C)
        return proj(self.dropout(means))  # (B, K)

    def slide(self, x: Tensor, side: int) -> Tensor:
        """Return softmax scores [B, K] of a fully convolutional pass over [B, C, T, H, W].

        The mean is taken over all T and over windows of `side` x `side` positions at stride 1; each window has its own
        softmax, and these are averaged (Wang et al. 2018, section 4.1, as in the authors' code). The window is cut to
        a map that is smaller.
        """
        x = self.features(x)
        window = (min(side, x.shape[3]), min(side, x.shape[4]))
        means = x.mean(dim=2, dtype=_at_least_float32(x))  # (B, C, H, W)
        means = F.avg_pool2d(means, window, stride=1)  # (B, C, H', W')
        places = means.flatten(2).transpose(1, 2)  # (B, H'*W', C)
        return self.proj(self.dropout(places)).softmax(dim=-1).mean(dim=1)


class DualAttentionHead(Head):
    """DANet's head (Fu et al. 2019, Fig. 2) for classification: `Head` on the sum of the two branches.

    With `auxiliary` each branch has its own classifier too, as in the authors' code, and training returns [B, 3, K]:
    the logits of the sum, of position and of channel attention. Their losses are added. In eval mode the logits are
    those of the sum, [B, K].

    Args:
        channels: C.
        num_classes: K.
        dropout: probability, before each linear layer.
        reduction: the branches have C / reduction channels.
        time_kernel: frames in the kernel of the 3x3 convolutions.
        auxiliary: give each branch a classifier.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        dropout: float,
        *,
        reduction: int = 4,
        time_kernel: TimeKernel = 1,
        auxiliary: bool = False,
    ):
        branches = DualBranches(channels, reduction=reduction, time_kernel=time_kernel)
        super().__init__(branches.channels, num_classes, dropout)
        self.branches = branches
        self.proj_position = Classifier(branches.channels, num_classes) if auxiliary else None
        self.proj_channel = Classifier(branches.channels, num_classes) if auxiliary else None

    def features(self, x: Tensor) -> Tensor:
        position, channel = self.branches(x)
        return position + channel

    def forward(self, x: Tensor) -> Tensor:
        position, channel = self.branches(x)  # (B, C/4, T, H, W) each
        logits = self.classify(position + channel, self.proj)  # (B, K)
        if self.proj_position is None or not self.training:
            return logits
        auxiliary = (self.classify(position, self.proj_position), self.classify(channel, self.proj_channel))
        return torch.stack([logits, *auxiliary], dim=1)  # (B, 3, K)
