"""Match the weights of one network with another: what fits, what can be made to fit, and what is left.

Letters: O, I output and input channels of a convolution; T, H, W the frames, rows and columns of its kernel.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from nlvideo.models.batch_norm import fold_batch_norm


@dataclass
class Transfer:
    """The part of some weights that goes into a network.

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
    """Return which of `weights` fit a network's state `target`, by name and shape.

    Raises:
        ValueError: the weights have frozen affines where the network has batch norms, whose statistics cannot be had
            back; or statistics without the rest of their norm.
    """
    transfer = Transfer()
    for name, weight in _fold_norms(weights, target, transfer.folded).items():
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
    """Return a convolution's weight in `shape`: [O, I, H, W] or [O, I, 1, H, W] -> [O, I, T, H, W], repeated over time
    and divided by T, so that a still clip gives what its image gave. Return other weights as they are, and None if
    that does not give `shape`.

    The zeros before and behind a clip make the outputs beside them smaller: those of the first and last frames of an
    I3D; none in a C2D.
    """
    if weight.ndim == 4 and len(shape) == 5:
        weight = weight[:, :, None]
    if weight.ndim == 5 and len(shape) == 5 and weight.shape[2] == 1:
        weight = weight.repeat(1, 1, shape[2], 1, 1) / shape[2]
    return weight if weight.shape == shape else None


def _fold_norms(weights: dict[str, Tensor], target: dict[str, Tensor], folded: list[str]) -> dict[str, Tensor]:
    """Return `weights` with the statistics of norms folded away where the network has frozen affines."""
    weights = dict(weights)
    for name in [name for name in weights if name.endswith(".running_var")]:
        norm = name.removesuffix(".running_var")
        if f"{norm}.weight" not in target or name in target:
            continue
        names = [f"{norm}.{parameter}" for parameter in ("weight", "bias", "running_mean", "running_var")]
        parts = [weights.pop(name) for name in names if name in weights]
        if len(parts) < len(names) or len({part.shape for part in parts}) > 1:
            raise ValueError(f"{norm}: expected weight, bias, running_mean and running_var of one shape")
        weights[f"{norm}.weight"], weights[f"{norm}.bias"] = fold_batch_norm(*parts)
        weights.pop(f"{norm}.num_batches_tracked", None)
        folded.append(norm)
    return weights


def _shape(weight: Tensor) -> str:
    return "x".join(map(str, weight.shape)) or "a number"
