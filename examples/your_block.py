"""A block of your own, whole: it asks whether a non-local block needs its queries (GCNet, Cao et al. 2019, Eq. 4).

All positions share one attention map, and get the same context vector added. Nothing in the package knows this file;
give its class on the command line in the folder above:

    nlvideo fit -c configs/demo.yaml --name mine --model.net.after.block examples.your_block.GlobalContext
"""

from torch import Tensor, nn

from nlvideo.blocks import Block

# Shapes: B clips, C channels, N = T * H * W positions.


class GlobalContext(Block):
    """z_i = x_i + W2 relu(LN(W1 c)), c = sum_j softmax_j(w_k . x_j) x_j.

    Args:
        channels: C.
        reduction: W1 maps C -> C / reduction.
    """

    def __init__(self, channels: int, *, reduction: int = 4):
        super().__init__(channels)
        self.key = nn.Linear(channels, 1)
        inner = channels // reduction
        self.transform = nn.Sequential(
            nn.Linear(channels, inner), nn.LayerNorm(inner), nn.ReLU(), nn.Linear(inner, channels)
        )
        nn.init.zeros_(self.transform[-1].weight)  # at first the block is the identity
        nn.init.zeros_(self.transform[-1].bias)

    def forward_clip(self, x: Tensor) -> Tensor:
        positions = x.flatten(2).transpose(1, 2)  # (B, N, C)
        weights = self.key(positions).softmax(dim=1)  # (B, N, 1)
        context = (weights * positions).sum(dim=1)  # (B, C)
        return x + self.transform(context)[..., None, None, None]  # (B, C, T, H, W)
