"""A block of your own, whole: each channel is scaled by a gate that sees its mean in each frame, over time.

It is a class with one method. Its constructor's arguments are its YAML keys. Run this file to see it inside ResNet-50:

    python examples/your_block.py

To name it on the command line, put the class into a file of ``nlvideo/blocks/`` and import it in
``nlvideo/blocks/__init__.py``; ``--model.net.branch.block TemporalGate --model.net.branch.at all`` then uses it, and
the tests of tests/blocks/test_contract.py hold it to what every block keeps to.
"""

import torch
from torch import Tensor, nn

from nlvideo.blocks import Block
from nlvideo.models import Insert, ResNet3d

# Shapes: B clips, C channels, T frames, H x W places.


class TemporalGate(Block):
    """Scales each channel of each frame by a gate from the channel's means over time.

    Args:
        channels: C.
        kernel: frames that a gate sees; odd.
    """

    def __init__(self, channels: int, *, kernel: int = 3):
        super().__init__(channels)
        if kernel % 2 == 0:
            raise ValueError(f"TemporalGate: kernel {kernel}; expected an odd number of frames")
        self.conv = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        # A gate of 1 everywhere: at first the block is the identity, and leaves a trained network as it is.
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)

    def forward_clip(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] -> the same shape."""
        means = x.mean(dim=(3, 4))  # [B, C, T]
        gate = 2 * self.conv(means).sigmoid()  # [B, C, T]
        return x * gate[..., None, None]


def main() -> None:
    clip = torch.randn(1, 3, 8, 64, 64)
    torch.manual_seed(0)
    plain = ResNet3d("c2d", 50, num_classes=5).eval()
    torch.manual_seed(0)
    gated = ResNet3d("c2d", 50, num_classes=5, branch=Insert(TemporalGate, "all")).eval()
    with torch.no_grad():
        same = torch.allclose(plain(clip), gated(clip), atol=1e-5)
    added = sum(p.numel() for p in gated.parameters()) - sum(p.numel() for p in plain.parameters())
    print(f"{added:,} parameters more; the same output at the start: {same}")


if __name__ == "__main__":
    main()
