"""Weights from one network to another: what fits, what can be made to fit, and what is left.

Letters: O, I output and input channels of a convolution, T its frames, H x W its places.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from nlvideo.models.batch_norm import fold_batch_norm


@dataclass
class Transfer:
    """What of some weights goes into a network.

    Attributes:
        loaded: name -> weight, in the network's shape.
        inflated: names of those that were repeated over time.
        folded: norms whose statistics went into a frozen affine.
        new: names that only the network has.
        dropped: name -> why, of weights that the network has no use for.
    """

    loaded: dict[str, Tensor] = field(default_factory=dict)
    inflated: list[str] = field(default_factory=list)
    folded: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)


def match(weights: dict[str, Tensor], target: dict[str, Tensor]) -> Transfer:
    """Which of `weights` fit a network's state `target`, by name and shape.

    Raises:
        ValueError: the weights have frozen affines where the network has batch norms: without the statistics there is
            no way back.
    """
    transfer = Transfer()
    weights = _fold_norms(weights, target, transfer)
    for name, weight in weights.items():
        if name not in target:
            transfer.dropped[name] = "not in this network"
        elif (fitted := inflate(weight, target[name].shape)) is None:
            transfer.dropped[name] = f"{_shape(weight)} there, {_shape(target[name])} here"
        else:
            transfer.loaded[name] = fitted
            if weight.shape != fitted.shape:
                transfer.inflated.append(name)
    transfer.new = [name for name in target if name not in transfer.loaded]
    for name in transfer.new:
        norm, _, parameter = name.rpartition(".")
        if parameter == "running_var" and f"{norm}.weight" in transfer.loaded:
            raise ValueError(
                f"{norm}: a frozen affine there, a batch norm here, and its statistics are folded away; "
                "give this network freeze_bn: affine"
            )
    return transfer


def inflate(weight: Tensor, shape: torch.Size) -> Tensor | None:
    """A convolution's weight for `shape`: [O, I, H, W] or [O, I, 1, H, W] -> [O, I, T, H, W], repeated over time and
    divided by T, so that on a clip that stands still it gives what it gave on the image. Other weights as they are;
    None where that does not give `shape`.

    Where the convolution sees the zeros before and behind a clip, its output is smaller: all frames are as in the
    image in a C2D, and in an I3D those far enough from the ends of the clip.
    """
    if weight.ndim == 4 and len(shape) == 5:
        weight = weight[:, :, None]
    if weight.ndim == 5 and len(shape) == 5 and weight.shape[2] == 1:
        weight = weight.repeat(1, 1, shape[2], 1, 1) / shape[2]
    return weight if weight.shape == shape else None


def _fold_norms(weights: dict[str, Tensor], target: dict[str, Tensor], transfer: Transfer) -> dict[str, Tensor]:
    """`weights` with the statistics of norms folded away where the network has frozen affines."""
    weights = dict(weights)
    for name in [name for name in weights if name.endswith(".running_var")]:
        norm = name.removesuffix(".running_var")
        if f"{norm}.weight" in target and name not in target:
            statistics = [weights.pop(f"{norm}.{each}") for each in ("weight", "bias", "running_mean", "running_var")]
            weights[f"{norm}.weight"], weights[f"{norm}.bias"] = fold_batch_norm(*statistics)
            weights.pop(f"{norm}.num_batches_tracked", None)
            transfer.folded.append(norm)
    return weights


def _shape(weight: Tensor) -> str:
    return "x".join(map(str, weight.shape)) or "a number"
