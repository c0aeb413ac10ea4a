"""C2D and I3D ResNets with attention blocks (Wang et al. 2018, Table 1 and section 4.2).

Shapes: B clips, T frames, H x W pixels or places, K classes.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from pytorchvideo.models.resnet import BottleneckBlock, ResStage
from pytorchvideo.models.stem import ResNetBasicStem, create_res_basic_stem
from pytorchvideo.models.weight_init import init_net_weights
from torch import Tensor, nn

from nlvideo.blocks import SqueezeExcite
from nlvideo.blocks.base import check_choice
from nlvideo.models.backbone import Backbone, FreezeBN
from nlvideo.models.batch_norm import freeze_batch_norms
from nlvideo.models.head import Head
from nlvideo.models.inserts import Insert, as_insert, named_inserts
from nlvideo.models.placement import STAGES, resolve_placement
from nlvideo.models.residual import Arch, BasicBranch, Residual, ResidualBlock

TemporalStride = Literal[1, 4]
Pool1 = Literal["padded", "unpadded"]
Position = Literal["standard", "pre", "post", "identity"]

DEPTHS = {50: [3, 4, 6, 3], 101: [3, 4, 23, 3]}


class ResNet3d(Backbone):
    """A C2D or I3D ResNet, of any input size and clip length.

    ::

        stem - res2 - pool - res3 - res4 - res5 - head: mean over T, H, W - dropout - linear
        a residual block: after(relu(shortcut + branch(residual)))

    Parameters keep pytorchvideo's names. Those of an attention block are below the residual block that it stands in
    (``blocks.3.res_blocks.1.after.*``), so it renames none of the others.

    Args:
        arch: ``c2d`` has no convolution over time. ``i3d`` inflates the first 1x1 convolution of every other
            residual block to 3x1x1, ``i3d_3x3x3`` its 3x3 convolution; both inflate conv1 to 5x7x7 (section 3.2).
        depth: 50, 101, or the number of residual blocks in res2 to res5, such as [1, 2, 2, 1].
        num_classes: K.
        width: channels of the stem; stage i has 2^i times as many, times four with bottlenecks. Each number of channels
            is rounded, so that a fraction makes finer steps: 16.25 gives 16, 32, 65 and 130.
        temporal_stride: of the stem. 1 keeps the frames of a clip up to the pool after res2, which halves them
            (8-frame clips); 4 halves them in conv1 and in pool1 as well (32-frame clips).
        pool1: ``padded`` by one pixel (112 -> 56), or ``unpadded`` as in the paper's code (112 -> 55), whose window
            then covers both frames if temporal_stride is 4.
        residual: ``bottleneck`` (1x1, 3x3, 1x1 convolutions) or ``basic`` (two 3x3 convolutions, for small nets).
        stem_kernel: width and height of conv1.
        zero_init_residual: start the last norm of each residual branch at 0, so that the branch adds nothing at first
            (Goyal et al. 2017). A small net trained for few epochs learns faster without.
        dropout: probability, before the linear layer.
        freeze_bn: of all batch norms, those of attention blocks included, to fine-tune with few clips per GPU:
            ``statistics`` keeps their means and variances and trains their weights; ``affine`` replaces them by a
            frozen scale and shift, into which ``init_from`` folds the trained statistics.
        after: attention blocks after residual blocks, where non-local blocks stand: kinds of blocks by names of your
            choice. An `Insert` alone is one kind, called ``main``.
        branch: attention blocks at the end of a residual branch, where squeeze-and-excitation stands.
        branch_position: moves the blocks of `branch` (Hu et al. 2018, Fig. 5): ``standard``; ``pre``, before the
            residual branch; ``post``, after sum and ReLU; ``identity``, on the shortcut.
        head: `Head` or `DualAttentionHead`.

    Raises:
        ValueError: an unknown arch, temporal_stride, residual or depth, or an impossible placement.
    """

    slides = True

    def __init__(
        self,
        arch: Arch = "c2d",
        depth: int | list[int] = 50,
        num_classes: int = 400,
        *,
        width: int | float = 64,
        temporal_stride: TemporalStride = 1,
        pool1: Pool1 = "padded",
        residual: Residual = "bottleneck",
        stem_kernel: int = 7,
        zero_init_residual: bool = True,
        dropout: float = 0.5,
        freeze_bn: FreezeBN = "none",
        after: dict[str, Insert] = {},  # noqa: B006 (never changed; jsonargparse takes no read-only mapping)
        branch: Insert = Insert(SqueezeExcite),
        branch_position: Position = "standard",
        head: Callable[[int, int, float], Head] = Head,
    ):
        after, branch = named_inserts(after), as_insert(branch)
        super().__init__(num_classes, locals())
        self._pool1_padded = pool1 == "padded"
        check_choice("arch", arch, Arch)
        check_choice("temporal_stride", temporal_stride, TemporalStride)
        check_choice("pool1", pool1, Pool1)
        check_choice("freeze_bn", freeze_bn, FreezeBN)
        check_choice("residual", residual, Residual)
        check_choice("branch_position", branch_position, Position)
        depths = _resolve_depths(depth)
        if arch == "i3d_3x3x3" and residual == "basic":
            raise ValueError(
                "arch 'i3d_3x3x3' inflates a bottleneck's 3x3 convolution; with residual 'basic' use 'i3d'"
            )

        channels = round(width)
        halve = 2 if temporal_stride == 4 else 1
        time_kernel = 1 if arch == "c2d" else 5
        stem = create_res_basic_stem(
            in_channels=3,
            out_channels=channels,
            conv_kernel_size=(time_kernel, stem_kernel, stem_kernel),
            conv_stride=(halve, 2, 2),
            conv_padding=(time_kernel // 2, stem_kernel // 2, stem_kernel // 2),
            pool_kernel_size=(halve if pool1 == "unpadded" else 1, 3, 3),
            pool_stride=(halve, 2, 2),
            pool_padding=(0, 0, 0) if pool1 == "unpadded" else (0, 1, 1),
        )
        stages = []
        for stage, num_blocks in enumerate(depths):
            blocks = []
            for i in range(num_blocks):
                block = ResidualBlock(
                    channels,
                    round(width * 2**stage),
                    stride=2 if stage > 0 and i == 0 else 1,
                    arch=arch if _is_inflated(stage, i) else "c2d",
                    residual=residual,
                )
                channels = block.channels
                blocks.append(block)
            stages.append(ResStage(nn.ModuleList(blocks)))
        pool = nn.MaxPool3d((2, 1, 1), ceil_mode=True)  # a clip of one frame stays one frame
        self.blocks = nn.ModuleList([stem, stages[0], pool, *stages[1:], head(channels, num_classes, dropout)])
        init_net_weights(self)  # before attention blocks are inserted, which initialise themselves
        if not zero_init_residual:
            for block in itertools.chain(*self.residual_blocks().values()):
                last_norm = block.branch2.norm_c if residual == "bottleneck" else block.branch2.norm_b
                nn.init.ones_(last_norm.weight)

        inserts = [("after", insert) for insert in after.values()]
        inserts.append(("branch" if branch_position == "standard" else branch_position, branch))
        for position, insert in inserts:
            for stage, indices in resolve_placement(insert.at, depths).items():
                for i in indices:
                    try:
                        self.residual_blocks()[stage][i].insert(position, insert.block)
                    except ValueError as error:
                        raise ValueError(f"{position}, {stage}[{i}]: {error}") from error
        self.freeze_bn = freeze_bn
        if freeze_bn == "affine":
            freeze_batch_norms(self)
        self.train()

    def stages(self) -> dict[str, nn.Module]:
        return dict(zip(("stem", "res2", "pool2", "res3", "res4", "res5", "head"), self.blocks, strict=True))

    def residual_blocks(self) -> dict[str, Sequence[nn.Module]]:
        return {name: stage.res_blocks for name, stage in self.stages().items() if name in STAGES}

    def conv_norm_pairs(self) -> Mapping[type[nn.Module], Sequence[tuple[str, str]]]:
        return {
            ResNetBasicStem: [("conv", "norm")],
            BottleneckBlock: [("conv_a", "norm_a"), ("conv_b", "norm_b"), ("conv_c", "norm_c")],
            BasicBranch: [("conv_a", "norm_a"), ("conv_b", "norm_b")],
            ResidualBlock: [("branch1_conv", "branch1_norm")],
        }

    def bare(self) -> "ResNet3d":
        return type(self)(**{**self._init_args, "after": {}, "branch": Insert(), "head": Head})

    def forward(self, video: Tensor) -> Tensor:
        """[B, 3, T, H, W] -> [B, K]."""
        for block in self.blocks:
            video = block(video)
        return video

    def scores(self, video: Tensor, trained_crop: int | None = None) -> Tensor:
        if trained_crop is None:
            return super().scores(video)
        *body, head = self.blocks
        for block in body:
            video = block(video)
        return head.slide(video, self._map_side(trained_crop))

    def _map_side(self, side: int) -> int:
        """Return the side of the last map for a square clip of `side` pixels: 7 for 224."""
        side = math.ceil(side / 2)  # conv1
        side = math.ceil(side / 2) if self._pool1_padded else (side - 3) // 2 + 1
        for _ in range(3):  # res3 to res5
            side = math.ceil(side / 2)
        return side


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
    """Return whether a residual block is inflated: res2 1 1 1, res3 1 0 1 0, res4 1 0 1 0 .., res5 0 1 0.

    As in the paper's code.
    """
    return stage == 0 or block % 2 == (1 if stage == 3 else 0)
