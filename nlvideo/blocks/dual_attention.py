"""Position and channel attention (Fu et al., CVPR 2019, "DANet"), with positions over space and time.

Shapes: B clips, C channels, T frames, H x W places in a frame, N = T * H * W positions.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from nlvideo import ops
from nlvideo.blocks.base import Block, check_choice
from nlvideo.blocks.lesion import ALL_KINDS, Lesion
from nlvideo.ops.inputs import without_autocast
from nlvideo.ops.precision import widened

TimeKernel = Literal[1, 3]


class PositionAttention(Block):
    """Add to each position a weighted sum over all positions (Fu et al. 2019, section 3.2).

    With B, C' and D three 1x1 convolutions of x: s_ji = softmax_i(B_i . C'_j), without a scale (Eq. 1), and
    E_j = gamma sum_i s_ji D_i + x_j (Eq. 2). gamma starts at 0, so the block starts as the identity. Unlike the
    embedded gaussian of `NonLocal`, values keep their C channels, and one number replaces W_z and the norm.

    Args:
        channels: C.
        reduction: queries and keys have C / reduction channels (at least one).
    """

    def __init__(self, channels: int, *, reduction: int = 8):
        super().__init__(channels)
        if reduction < 1:
            raise ValueError(f"PositionAttention: reduction must be at least 1, got {reduction}")
        inner = max(channels // reduction, 1)
        self.query_conv = nn.Conv3d(channels, inner, kernel_size=1)
        self.key_conv = nn.Conv3d(channels, inner, kernel_size=1)
        self.value_conv = nn.Conv3d(channels, channels, kernel_size=1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward_clip(self, x: Tensor) -> Tensor:
        convs = (self.query_conv, self.key_conv, self.value_conv)
        query, key, value = (conv(x).flatten(2).transpose(1, 2) for conv in convs)  # (B, N, C/8) twice, (B, N, C)
        return self._residual(ops.softmax_attention(query, key, value), x)  # (B, C, T, H, W)

    @property
    def lesions(self) -> tuple[str, ...]:
        return ALL_KINDS

    def forward_lesioned(self, x: Tensor, lesion: Lesion) -> Tensor:
        convs = (self.query_conv, self.key_conv, self.value_conv)
        query, key, value = (conv(x).flatten(2).transpose(1, 2) for conv in convs)  # (B, N, C/8) twice, (B, N, C)
        return self._residual(lesion.attention("gaussian", query, key, value, x.shape[2]), x)  # (B, C, T, H, W)

    def _residual(self, y: Tensor, x: Tensor) -> Tensor:
        """(B, N, C), [B, C, T, H, W] -> [B, C, T, H, W]."""
        # Without dimensions, a float32 gamma does not promote y.
        return x + self.gamma[0] * y.transpose(1, 2).reshape(x.shape)

    def attention_weights(self, x: Tensor, positions: Tensor) -> Tensor:
        query, key = (conv(x).flatten(2).transpose(1, 2) for conv in (self.query_conv, self.key_conv))  # (B, N, C/8)
        _, _, t, h, w = x.shape
        rows = positions @ positions.new_tensor([h * w, w, 1])  # (Q)
        return ops.attention_weights("gaussian", query, key, rows).unflatten(2, (t, h, w))  # (B, Q, T, H, W)


class ChannelAttention(Block):
    """Add to each channel a weighted sum over all channels (Fu et al. 2019, section 3.3).

    With A = x as a C x N matrix: E = A A^T, x_ji = softmax_i(max_i E_ji - E_ji) and the result
    beta sum_i x_ji A_i + A_j (Eq. 3 and 4); beta, here gamma as in the authors' code, starts at 0, so the block starts
    as the identity. The paper's Eq. 3 is softmax_i(E_ji); its authors' code takes the maximum less E, so a channel
    attends most to those least like itself. This follows the code.

    Args:
        channels: C.
    """

    def __init__(self, channels: int):
        super().__init__(channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward_clip(self, x: Tensor) -> Tensor:
        a = x.flatten(2)  # (B, C, N)
        y = self.channel_weights(x).to(a.dtype) @ a  # (B, C, N)
        return x + self.gamma[0] * y.reshape(x.shape)  # (B, C, T, H, W)

    @property
    def lesions(self) -> tuple[str, ...]:
        return ("uniform",)

    def forward_lesioned(self, x: Tensor, lesion: Lesion) -> Tensor:
        """Let each channel draw on all alike."""
        return x + self.gamma[0] * widened(x).mean(dim=1, keepdim=True).to(x.dtype)  # (B, C, T, H, W)

    def channel_weights(self, x: Tensor) -> Tensor:
        # E sums N products and is exponentiated: in bfloat16 it would be off by whole units.
        with without_autocast(x):
            a = widened(x.flatten(2))  # (B, C, N)
            energy = a @ a.transpose(1, 2)  # (B, C, C)
            return (energy.amax(dim=2, keepdim=True) - energy).softmax(dim=2)  # (B, C, C)


class DualBranches(nn.Module):
    """DANet's two branches (Fu et al. 2019, Fig. 2): [B, C, T, H, W] -> two of [B, C/4, T, H, W], which DANet sums.

    ::

        x --+-- conv C -> C/4 -- PositionAttention -- conv --> p
            +-- conv C -> C/4 -- ChannelAttention --- conv --> c

    Each conv is 3x3 in space, with batch norm and ReLU.

    Args:
        channels: C.
        reduction: the branches have C / reduction channels (at least one).
        time_kernel: size of the 3x3 convolutions' kernel over time.
    """

    def __init__(self, channels: int, *, reduction: int, time_kernel: TimeKernel):
        super().__init__()
        check_choice("DualAttention: time_kernel", time_kernel, TimeKernel)
        if reduction < 1:
            raise ValueError(f"DualAttention: reduction must be at least 1, got {reduction}")
        self.channels = max(channels // reduction, 1)
        self.position_in = _conv_norm_relu(channels, self.channels, time_kernel)
        self.position = PositionAttention(self.channels)
        self.position_out = _conv_norm_relu(self.channels, self.channels, time_kernel)
        self.channel_in = _conv_norm_relu(channels, self.channels, time_kernel)
        self.channel = ChannelAttention(self.channels)
        self.channel_out = _conv_norm_relu(self.channels, self.channels, time_kernel)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        position = self.position_out(self.position(self.position_in(x)))
        channel = self.channel_out(self.channel(self.channel_in(x)))
        return position, channel


class DualAttention(Block):
    """DANet's head as a residual block: z = norm(W (p + c)) + x, p and c of `DualBranches`.

    The paper has one at the end of the network: `nlvideo.models.DualAttentionHead`. Here W, a 1x1 convolution from C/4
    back to C, and the sum with x allow it after any residual block. The norm's weight starts at 0, so the block starts
    as the identity.

    Args:
        channels: C.
        reduction: the branches have C / reduction channels.
        time_kernel: size of the 3x3 convolutions' kernel over time.
    """

    conv_norm_pairs = (("conv_out", "norm"),)

    def __init__(self, channels: int, *, reduction: int = 4, time_kernel: TimeKernel = 1):
        super().__init__(channels)
        self.branches = DualBranches(channels, reduction=reduction, time_kernel=time_kernel)
        self.conv_out = nn.Conv3d(self.branches.channels, channels, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm3d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward_clip(self, x: Tensor) -> Tensor:
        position, channel = self.branches(x)  # (B, C/4, T, H, W) each
        return x + self.norm(self.conv_out(position + channel))  # (B, C, T, H, W)


def _conv_norm_relu(in_channels: int, channels: int, time_kernel: int) -> nn.Sequential:
    kernel = (time_kernel, 3, 3)
    return nn.Sequential(
        nn.Conv3d(in_channels, channels, kernel, padding=tuple(k // 2 for k in kernel), bias=False),
        nn.BatchNorm3d(channels),
        nn.ReLU(inplace=True),
    )
