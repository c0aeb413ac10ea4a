"""Published sizes of torchvision's and pytorchvideo's networks, to compare our counts with.

Of convolutions, linear layers and matrix products every source counts the same. They differ in batch norms: torchvision
and two lines of pytorchvideo's table leave them out; its other lines count five multiply-adds for each output, which is
what fvcore counts for a batch norm in training mode. (SlowFast's numbers in `published` have two, as in eval mode.)
With that said, each number agrees to its last digit.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from nlvideo.cost.count import Clip, count_cost
from nlvideo.models import AnyModel


@dataclass(frozen=True)
class LibraryCost:
    """A published size.

    Attributes:
        model, kwargs, alpha: of `AnyModel`.
        clip: T, H, W.
        params: millions.
        gmacs: billions of multiply-adds of one clip.
        norm: multiply-adds for each output of a batch norm that `gmacs` contains.
    """

    model: str
    clip: Clip
    params: float
    gmacs: float
    norm: Literal[0, 5]
    kwargs: dict[str, Any] = field(default_factory=dict)
    alpha: int | None = None

    @property
    def name(self) -> str:
        frames, height, width = self.clip
        library, *_, function = self.model.split(".")
        return f"{library} {function}, {frames} x {height} x {width}"

    def count(self) -> tuple[float, float]:
        """Return (GMACs, millions of parameters) of the network, in the convention of the line."""
        with torch.device("meta"):
            net = AnyModel(self.model, kwargs=self.kwargs, alpha=self.alpha, input_size=list(self.clip))
        cost = count_cost(net, self.clip)
        return (cost.macs + cost.norm_macs / 2 * self.norm) / 1e9, cost.params / 1e6


def _torchvision(model: str, clip: Clip, params: float, gmacs: float) -> LibraryCost:
    return LibraryCost(f"torchvision.models.video.{model}", clip, params, gmacs, norm=0)


def _pytorchvideo(model: str, clip: Clip, params: float, gmacs: float, **options: Any) -> LibraryCost:
    return LibraryCost(f"pytorchvideo.models.{model}", clip, params, gmacs, **{"norm": 5, **options})


SLOW_4X16 = {"stem_conv_kernel_size": [1, 7, 7], "head_pool_kernel_size": [4, 7, 7]}
SLOWFAST_4X16 = {
    "slowfast_fusion_conv_kernel_size": [5, 1, 1],
    "slowfast_fusion_conv_stride": [8, 1, 1],
    "head_pool_kernel_sizes": [[4, 7, 7], [32, 7, 7]],
}

LIBRARY_COSTS = [
    # torchvision 0.29: num_params and _ops of its weights' meta data.
    _torchvision("r3d_18", (16, 112, 112), 33.371472, 40.697),
    _torchvision("mc3_18", (16, 112, 112), 11.695440, 43.343),
    _torchvision("r2plus1d_18", (16, 112, 112), 31.505325, 40.519),
    _torchvision("s3d", (16, 224, 224), 8.320048, 17.979),
    # pytorchvideo's docs/source/model_zoo.md, Kinetics-400: a crop of its test, 256 pixels, of X3D-S 182.
    _pytorchvideo("hub.c2d_r50", (8, 256, 256), 24.33, 25.89),
    _pytorchvideo("hub.i3d_r50", (8, 256, 256), 28.04, 37.53),
    _pytorchvideo("resnet.create_resnet", (4, 256, 256), 32.45, 27.55, kwargs=SLOW_4X16),
    _pytorchvideo("hub.slow_r50", (8, 256, 256), 32.45, 54.52, norm=0),
    _pytorchvideo("slowfast.create_slowfast", (32, 256, 256), 34.48, 36.69, kwargs=SLOWFAST_4X16, alpha=8),
    _pytorchvideo("hub.slowfast_r50", (32, 256, 256), 34.57, 65.71, norm=0),
    _pytorchvideo("hub.csn_r101", (32, 256, 256), 22.21, 75.62),
    _pytorchvideo("hub.r2plus1d_r50", (16, 256, 256), 28.11, 76.45),
    _pytorchvideo("hub.x3d_s", (13, 182, 182), 3.79, 2.96),
    _pytorchvideo("hub.x3d_m", (16, 256, 256), 3.79, 6.72),
]
