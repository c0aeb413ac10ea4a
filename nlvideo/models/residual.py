"""Residual blocks of ResNets over space and time, with positions for attention blocks.

Shapes: B clips, C channels, T frames, H x W places in a frame.
"""

from collections.abc import Callable
from typing import Literal

from pytorchvideo.models.resnet import create_bottleneck_block
from torch import Tensor, nn

from nlvideo.blocks import Block

Arch = Literal["c2d", "i3d", "i3d_3x3x3"]
Residual = Literal["bottleneck", "basic"]


class ResidualBlock(nn.Module):
    """[B, C, T, H, W] -> [B, C', T, H/stride, W/stride].

    ::

              +-- branch1: shortcut -------- (identity) --+
        x ----+                                           +-- relu -- (post) -- (after) -->
              +-- (pre) -- branch2 --------- (branch) ----+

    An attention block can stand at each of the five positions in brackets, which are the identity without one.
    Non-local blocks stand at ``after``. Hu et al. 2018 (Fig. 5) study squeeze-and-excitation at the other four;
    ``branch`` is their standard.

    Args:
        in_channels: C.
        inner: channels of the 3x3 convolution. C' is four times that with bottlenecks, else the same.
        stride: of the first 3x3 convolution, in space.
        arch: which convolution has a kernel of three frames.
        residual: form of the residual branch.
    """

    def __init__(self, in_channels: int, inner: int, *, stride: int, arch: Arch, residual: Residual):
        super().__init__()
        self.in_channels = in_channels
        self.channels = inner * (4 if residual == "bottleneck" else 1)
        projected = in_channels != self.channels or stride > 1
        self.branch1_conv = (
            nn.Conv3d(in_channels, self.channels, 1, stride=(1, stride, stride), bias=False)
            if projected
            else nn.Identity()
        )
        self.branch1_norm = nn.BatchNorm3d(self.channels) if projected else nn.Identity()
        self.branch2 = (
            _bottleneck(in_channels, inner, self.channels, stride, arch)
            if residual == "bottleneck"
            else BasicBranch(in_channels, inner, stride, time_kernel=1 if arch == "c2d" else 3)
        )
        self.activation = nn.ReLU(inplace=True)
        self.pre = nn.Identity()
        self.branch = nn.Identity()
        self.identity = nn.Identity()
        self.post = nn.Identity()
        self.after = nn.Identity()

    def insert(self, position: str, block: Callable[[int], Block]) -> None:
        """Put an attention block at a position.

        Raises:
            ValueError: another block stands there.
        """
        if not isinstance(self.get_submodule(position), nn.Identity):
            raise ValueError(f"two blocks at position {position!r} of one residual block; place them apart")
        self.set_submodule(position, block(self.in_channels if position == "pre" else self.channels))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.identity(self.branch1_norm(self.branch1_conv(x)))
        residual = self.branch(self.branch2(self.pre(x)))
        return self.after(self.post(self.activation(shortcut + residual)))


def _bottleneck(in_channels: int, inner: int, channels: int, stride: int, arch: Arch) -> nn.Module:
    time_a = 3 if arch == "i3d" else 1
    time_b = 3 if arch == "i3d_3x3x3" else 1
    return create_bottleneck_block(
        dim_in=in_channels,
        dim_inner=inner,
        dim_out=channels,
        conv_a_kernel_size=(time_a, 1, 1),
        conv_a_stride=(1, 1, 1),
        conv_a_padding=(time_a // 2, 0, 0),
        conv_b_kernel_size=(time_b, 3, 3),
        conv_b_stride=(1, stride, stride),
        conv_b_padding=(time_b // 2, 1, 1),
    )


class BasicBranch(nn.Module):
    """conv - norm - relu - conv - norm with 3x3 convolutions (He et al. 2016, Fig. 5 left).

    [B, C, T, H, W] -> [B, channels, T, H/stride, W/stride]. `time_kernel` is that of the first convolution.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, *, time_kernel: int):
        super().__init__()
        self.conv_a = nn.Conv3d(
            in_channels,
            channels,
            kernel_size=(time_kernel, 3, 3),
            stride=(1, stride, stride),
            padding=(time_kernel // 2, 1, 1),
            bias=False,
        )
        self.norm_a = nn.BatchNorm3d(channels)
        self.act_a = nn.ReLU(inplace=True)
        self.conv_b = nn.Conv3d(channels, channels, kernel_size=(1, 3, 3), padding=(0, 1, 1), bias=False)
        self.norm_b = nn.BatchNorm3d(channels)
        self.norm_b.block_final_bn = True  # pytorchvideo's mark for a norm whose weight starts at 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.act_a(self.norm_a(self.conv_a(x)))
        return self.norm_b(self.conv_b(x))
