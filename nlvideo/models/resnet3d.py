"""C2D and I3D ResNets with two plug points (Wang et al. 2018, Table 1 and section 4.2).

Letters: B clips, T frames, H x W pixels or places; K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pytorchvideo.models.resnet import ResStage, create_bottleneck_block
from pytorchvideo.models.stem import create_res_basic_stem
from pytorchvideo.models.weight_init import init_net_weights
from torch import Tensor, nn

from nlvideo.blocks import Block, NonLocal, SqueezeExcite
from nlvideo.blocks.base import check_choice
from nlvideo.models.backbone import Backbone
from nlvideo.models.freeze import freeze_batch_norms
from nlvideo.models.placement import STAGES, Placement, resolve_placement

Arch = Literal["c2d", "i3d", "i3d_3x3x3"]
Geometry = Literal["8x8", "32x2"]
Pool1 = Literal["padded", "unpadded"]
FreezeBN = Literal["none", "affine"]
Residual = Literal["bottleneck", "basic"]

DEPTHS = {50: [3, 4, 6, 3], 101: [3, 4, 23, 3]}


@dataclass(frozen=True)
class Insert:
    """What fills a plug and where.

    Attributes:
        block: a Block class, or a factory that takes the number of channels.
        at: where, see `resolve_placement`.
    """

    block: Callable[[int], Block] = NonLocal
    at: Placement = "none"


class ResNet3d(Backbone):
    """A C2D or I3D ResNet, of any input size and clip length.

    ::

        stem - res2 - pool - res3 - res4 - res5 - mean over T, H, W - dropout - linear
        a residual block: after(relu(shortcut + branch(residual)))

    Parameters keep pytorchvideo's names; what fills a plug lies under ``.after`` and ``.branch`` of its residual
    block, so it renames none of them.

    Args:
        arch: ``c2d`` has no convolution over time. ``i3d`` inflates the first 1x1 convolution of every other
            residual block to 3x1x1, ``i3d_3x3x3`` its 3x3 convolution; both inflate conv1 to 5x7x7 (section 3.2).
        depth: 50, 101, or the number of residual blocks in res2 to res5, as in [1, 2, 2, 1].
        num_classes: K.
        width: channels of the stem; stage i has 2^i times as many, times four with bottlenecks.
        geometry: ``8x8`` keeps the frames of a clip up to the pool after res2, which halves them. ``32x2`` halves
            them in conv1 and in pool1 as well.
        pool1: ``padded`` by one place (112 -> 56), or ``unpadded`` as in the paper's code (112 -> 55), where with
            geometry ``32x2`` the window also covers both of the frames that it halves to one.
        residual: ``bottleneck`` (1x1, 3x3, 1x1 convolutions) or ``basic`` (two 3x3 convolutions, for small nets).
        stem_kernel: conv1 is that wide and high.
        zero_init_residual: the last norm of each residual branch starts at 0, so that the branch adds nothing at
            first (Goyal et al. 2017); a small net trained in few epochs learns faster without.
        dropout: probability, before the linear layer.
        freeze_bn: ``affine`` has a frozen scale and shift in the place of each batch norm, blocks' included: to go on
            from a trained network with few clips a GPU. ``init_from`` folds the trained statistics into it.
        after: blocks behind a residual block: where non-local blocks stand.
        branch: blocks at the end of a residual branch, before the sum: where squeeze-and-excitation stands.

    Raises:
        ValueError: for an unknown arch, geometry, residual or depth, or an impossible placement.
    """

    def __init__(
        self,
        arch: Arch = "c2d",
        depth: int | list[int] = 50,
        num_classes: int = 400,
        *,
        width: int = 64,
        geometry: Geometry = "8x8",
        pool1: Pool1 = "padded",
        residual: Residual = "bottleneck",
        stem_kernel: int = 7,
        zero_init_residual: bool = True,
        dropout: float = 0.5,
        freeze_bn: FreezeBN = "none",
        after: Insert = Insert(NonLocal),
        branch: Insert = Insert(SqueezeExcite),
    ):
        super().__init__(num_classes, locals())
        check_choice("arch", arch, Arch)
        check_choice("geometry", geometry, Geometry)
        check_choice("pool1", pool1, Pool1)
        check_choice("freeze_bn", freeze_bn, FreezeBN)
        check_choice("residual", residual, Residual)
        depths = _resolve_depths(depth)
        if arch == "i3d_3x3x3" and residual == "basic":
            raise ValueError(
                "arch 'i3d_3x3x3' inflates a bottleneck's 3x3 convolution; with residual 'basic' use 'i3d'"
            )

        halve = 2 if geometry == "32x2" else 1
        time_kernel = 1 if arch == "c2d" else 5
        stem = create_res_basic_stem(
            in_channels=3,
            out_channels=width,
            conv_kernel_size=(time_kernel, stem_kernel, stem_kernel),
            conv_stride=(halve, 2, 2),
            conv_padding=(time_kernel // 2, stem_kernel // 2, stem_kernel // 2),
            pool_kernel_size=(halve if pool1 == "unpadded" else 1, 3, 3),
            pool_stride=(halve, 2, 2),
            pool_padding=(0, 0, 0) if pool1 == "unpadded" else (0, 1, 1),
        )
        stages = []
        channels = width
        for stage, num_blocks in enumerate(depths):
            blocks = []
            for i in range(num_blocks):
                block = ResidualBlock(
                    channels,
                    width << stage,
                    stride=2 if stage > 0 and i == 0 else 1,
                    arch=arch if _is_inflated(stage, i) else "c2d",
                    residual=residual,
                )
                channels = block.channels
                blocks.append(block)
            stages.append(ResStage(nn.ModuleList(blocks)))
        head = Head(channels, num_classes, dropout)
        pool = nn.MaxPool3d((2, 1, 1), ceil_mode=True)  # a clip of one frame stays one frame
        self.blocks = nn.ModuleList([stem, stages[0], pool, *stages[1:], head])
        init_net_weights(self)  # before the plugs are filled: a block brings its own
        if not zero_init_residual:
            for norm in self.modules():
                if getattr(norm, "block_final_bn", False):
                    nn.init.ones_(norm.weight)

        stage_named = dict(zip(STAGES, stages, strict=True))
        for plug, insert in (("after", after), ("branch", branch)):
            for name, indices in resolve_placement(insert.at, depths).items():
                for i in indices:
                    residual_block = stage_named[name].res_blocks[i]
                    setattr(residual_block, plug, insert.block(residual_block.channels))
        if freeze_bn == "affine":
            freeze_batch_norms(self)

    def forward(self, video: Tensor) -> Tensor:
        """[B, 3, T, H, W] -> [B, K]."""
        for block in self.blocks:
            video = block(video)
        return video


class ResidualBlock(nn.Module):
    """after(relu(shortcut + branch(residual))): [B, C, T, H, W] -> [B, C', T, H/stride, W/stride].

    Args:
        in_channels: C.
        inner: channels of the 3x3 convolution. C' is four times that with bottlenecks, else the same.
        stride: of the first 3x3 convolution, in space.
        arch: which convolution sees three frames.
        residual: the form of the residual branch.
    """

    def __init__(self, in_channels: int, inner: int, *, stride: int, arch: Arch, residual: Residual):
        super().__init__()
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
        self.branch = nn.Identity()
        self.activation = nn.ReLU(inplace=True)
        self.after = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.branch1_norm(self.branch1_conv(x))
        return self.after(self.activation(shortcut + self.branch(self.branch2(x))))


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
    """conv - norm - relu - conv - norm, 3x3 in space (He et al. 2016, Fig. 5 left); the first may see three frames.
    [B, C, T, H, W] -> [B, channels, T, H/stride, W/stride]."""

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


class Head(nn.Module):
    """Mean over T, H, W, dropout, linear: [B, C, T, H, W] -> [B, K]."""

    def __init__(self, channels: int, num_classes: int, dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.proj = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(self.dropout(x.mean(dim=(2, 3, 4))))


def _resolve_depths(depth: int | list[int]) -> list[int]:
    if isinstance(depth, int):
        if depth not in DEPTHS:
            raise ValueError(
                f"depth {depth}: expected 50, 101, or four numbers of residual blocks such as [1, 2, 2, 1]"
            )
        return DEPTHS[depth]
    if len(depth) != len(STAGES) or min(depth) < 1:
        raise ValueError(f"depth {depth}: expected four numbers of residual blocks, each at least 1, for res2 to res5")
    return list(depth)


def _is_inflated(stage: int, block: int) -> bool:
    """res2 1 1 1, res3 1 0 1 0, res4 1 0 1 0 .., res5 0 1 0: as in the paper's code."""
    return stage == 0 or block % 2 == (1 if stage == 3 else 0)
