"""Squeeze-and-excitation (Hu et al., CVPR 2018), with the squeeze over space and time.

Shapes: B clips, C channels, T frames, H x W places in a frame.
"""

from torch import Tensor, nn

from nlvideo.blocks.base import Block
from nlvideo.blocks.lesion import Lesion


class SqueezeExcite(Block):
    """Scale each channel by a gate computed from the mean over all positions.

    s = sigmoid(W2 relu(W1 z)), z = mean of x over T, H, W (Hu et al. 2018, Eq. 2 and 3); out = s * x (Eq. 4).
    In a residual network it is the last module of the residual branch, before the sum (option ``branch``). It does not
    start as the identity: s starts near sigmoid(0) = 1/2.

    Args:
        channels: C.
        reduction: r; W1 maps C -> C/r (at least one channel), W2 maps back.
    """

    def __init__(self, channels: int, *, reduction: int = 16):
        super().__init__(channels)
        if reduction < 1:
            raise ValueError(f"SqueezeExcite: reduction must be at least 1, got {reduction}")
        squeezed = max(channels // reduction, 1)
        self.fc1 = nn.Linear(channels, squeezed)
        self.fc2 = nn.Linear(squeezed, channels)

    def forward_clip(self, x: Tensor) -> Tensor:
        s = self.channel_weights(x)  # (B, C)
        return x * s[:, :, None, None, None]  # (B, C, T, H, W)

    def channel_weights(self, x: Tensor) -> Tensor:
        z = x.mean(dim=(2, 3, 4))  # (B, C)
        return self.fc2(self.fc1(z).relu()).sigmoid()  # (B, C)

    @property
    def lesions(self) -> tuple[str, ...]:
        return ("uniform",)

    def forward_lesioned(self, x: Tensor, lesion: Lesion) -> Tensor:
        """Scale all channels by their mean gate."""
        s = self.channel_weights(x).mean(dim=1)  # (B)
        return x * s[:, None, None, None, None]  # (B, C, T, H, W)
