"""A network of your own, whole: torchvision's R3D-18 in small, from torchvision's parts.

Any callable that makes a torch module does, with its arguments in `kwargs`. Nothing in the package knows this file;
name it on the command line in the folder above, with blocks where you want them:

    nlvideo fit -c configs/demo.yaml --name mine --model.net AnyModel --model.net.model examples.your_network.SmallR3d
"""

from torch import Tensor, nn
from torchvision.models.video.resnet import BasicBlock, Conv3DNoTemporal, Conv3DSimple


class SmallR3d(nn.Module):
    """Four stages of residual blocks as in R3D-18, a quarter as wide, with a pool in the stem.

    Args:
        num_classes: K.
        width: channels of the first stage.
        units: residual blocks of a stage.
        temporal: convolutions over time too (R3D); without, only over space, and time is kept (R2D).
    """

    def __init__(self, num_classes: int = 400, width: int = 16, units: int = 2, temporal: bool = False):
        super().__init__()
        conv = Conv3DSimple if temporal else Conv3DNoTemporal
        self.stem = nn.Sequential(
            nn.Conv3d(3, width, (1, 5, 5), stride=(1, 2, 2), padding=(0, 2, 2), bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        )
        self.layer1 = make_stage(width, width, units, conv)
        self.layer2 = make_stage(width, 2 * width, units, conv)
        self.layer3 = make_stage(2 * width, 4 * width, units, conv)
        self.layer4 = make_stage(4 * width, 8 * width, units, conv)
        self.fc = nn.Linear(8 * width, num_classes)

    def forward(self, video: Tensor) -> Tensor:
        """[B, 3, T, H, W] -> [B, K]."""
        x = self.stem(video)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return self.fc(x.mean(dim=(2, 3, 4)))


def make_stage(inner: int, outer: int, units: int, conv: type[nn.Conv3d]) -> nn.Sequential:
    """Return residual blocks of torchvision; the first halves the map where the channels change."""
    shortcut, stride = None, 1
    if outer != inner:
        stride = 2
        halve = nn.Conv3d(inner, outer, 1, stride=conv.get_downsample_stride(stride), bias=False)
        shortcut = nn.Sequential(halve, nn.BatchNorm3d(outer))
    others = [BasicBlock(outer, outer, conv) for _ in range(units - 1)]
    return nn.Sequential(BasicBlock(inner, outer, conv, stride, shortcut), *others)
