"""Mixup and CutMix of a batch (Zhang et al. 2018, Yun et al. 2019), with torchvision's transforms.

Shapes: B clips of a batch, V = 1 view, C = 3 channels, T frames, H x W pixels, K classes.
"""

import torch
from torchvision.transforms import v2

from nlvideo.data.clips import Clips


def mix_batch(clips: Clips, num_classes: int, *, mixup: float, cutmix: float) -> Clips:
    """Blend each clip with another of the batch, or with a box of it, the same in all its frames.

    Args:
        mixup: alpha of mixup, 0 for none.
        cutmix: alpha of CutMix, 0 for none. With both, one of them is drawn.

    Returns:
        The clips themselves if both are 0; else video uint8 as before, label float32 [B, K], a distribution over the
        classes.
    """
    if not (mixup or cutmix):
        return clips
    use_mixup = mixup > 0 and (cutmix == 0 or torch.rand(()) < 0.5)
    images = clips.video.flatten(1, 3)  # (B, VCT, H, W), images of many channels for torchvision
    if use_mixup:
        mixed, label = v2.MixUp(alpha=mixup, num_classes=num_classes)(images.float(), clips.label)
        mixed = mixed.round().to(torch.uint8)
    else:
        mixed, label = v2.CutMix(alpha=cutmix, num_classes=num_classes)(images, clips.label)
    return Clips(mixed.unflatten(1, clips.video.shape[1:4]), label, clips.index)
