"""The network that another codebase's weights belong to, read from their names and shapes.

Names are ours (`nlvideo.checkpoint.codebases`); shapes are [O, I, T, H, W], or [O, I, H, W] of image networks.
"""

import re
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from nlvideo.blocks import NonLocal
from nlvideo.checkpoint.codebases import HEAD, STAGES, STEM
from nlvideo.checkpoint.external import ExternalWeights
from nlvideo.models import Insert, ResNet3d
from nlvideo.models.resnet3d import DEPTHS

# Arguments that weights do not tell, and that whoever converts may know better than the codebase's conventions.
NET_CHOICES = ("temporal_stride", "pool1", "dropout")
NON_LOCAL_CHOICES = ("pairwise", "scale", "subsample", "pool_after_projection", "domain")


@dataclass(frozen=True)
class Architecture:
    """A ResNet with non-local blocks of one kind.

    Attributes:
        net: arguments of ResNet3d, without blocks.
        at: the residual blocks with a non-local block behind them, by stage; empty if there are none.
        non_local: arguments of NonLocal.
        groups: `temporal_groups` of the non-local blocks in res3.
    """

    net: dict[str, Any]
    at: dict[str, list[int]]
    non_local: dict[str, Any]
    groups: int

    def build(self) -> ResNet3d:
        if not self.at:
            return ResNet3d(**self.net)
        block = partial(NonLocal, **self.non_local)
        if self.groups == 1:
            return ResNet3d(**self.net, after={"main": Insert(block, self.at)})
        # The paper's code cuts clips for the blocks of res3 only, whose maps are the largest.
        others = {stage: indices for stage, indices in self.at.items() if stage != "res3"}
        in_groups = Insert(partial(block, temporal_groups=self.groups), {"res3": self.at["res3"]})
        return ResNet3d(**self.net, after={"in_groups": in_groups, "whole_clip": Insert(block, others)})


def read_architecture(external: ExternalWeights, given: dict[str, Any]) -> Architecture:
    """Return the architecture of weights; `given` are arguments that replace the codebase's conventions.

    Raises:
        ValueError: weights are missing, are of no network that ResNet3d can be, or disagree with `given`.
    """
    weights, codebase = external.weights, external.codebase
    stem, head = _shape(weights, f"{STEM}.conv.weight", 4, 5), _shape(weights, f"{HEAD}.weight", 2)
    of_images = len(stem) == 4
    at = _find_blocks(weights, ".after.conv_g.weight")
    net_choices = [*NET_CHOICES, *(["arch"] if of_images else [])]
    choices = [*net_choices, *(NON_LOCAL_CHOICES if at else ()), *(["temporal_groups"] if "res3" in at else [])]
    for name in given:
        if name not in choices:
            raise ValueError(f"{name}: not to be chosen for these weights; expected {', '.join(choices)}")

    blocks = _find_blocks(weights, ".branch2.conv_a.weight")
    depths = [len(blocks.get(stage, [])) for stage in STAGES]
    is_affine = f"{STEM}.norm.running_var" not in weights
    net = {
        "arch": "c2d" if of_images else _read_arch(weights),
        "depth": next((depth for depth, numbers in DEPTHS.items() if numbers == depths), depths),
        "num_classes": head[0],
        "width": stem[0],
        "residual": "bottleneck" if any(name.endswith(".conv_c.weight") for name in weights) else "basic",
        "stem_kernel": stem[-1],
        "freeze_bn": "affine" if is_affine else "none",
        **codebase.net,
        **(codebase.image_net if of_images else {}),
        **{name: value for name, value in given.items() if name in net_choices},
    }
    groups = given.get("temporal_groups", codebase.affine_groups if is_affine and "res3" in at else 1)
    return Architecture(net, at, _read_non_local(external, at, given) if at else {}, groups)


def _shape(weights: dict[str, Tensor], name: str, *dims: int) -> tuple[int, ...]:
    if name not in weights:
        raise ValueError(f"no {name}: the file holds a part of a network; to start from it use init_from")
    shape = tuple(weights[name].shape)
    if len(shape) not in dims or 0 in shape:
        raise ValueError(f"{name}: expected {' or '.join(map(str, dims))} dimensions, got the shape {list(shape)}")
    return shape


def _find_blocks(weights: dict[str, Tensor], suffix: str) -> dict[str, list[int]]:
    """Return the residual blocks that have a weight, by stage: {"res3": [1, 3]}."""
    found: dict[str, list[int]] = {}
    for stage, number in STAGES.items():
        pattern = rf"blocks\.{number}\.res_blocks\.(\d+){re.escape(suffix)}"
        indices = sorted(int(match[1]) for name in weights if (match := re.fullmatch(pattern, name)))
        if indices:
            found[stage] = indices
    return found


def _read_arch(weights: dict[str, Tensor]) -> str:
    for conv, arch in (("conv_a", "i3d"), ("conv_b", "i3d_3x3x3")):
        shapes = [weight.shape for name, weight in weights.items() if name.endswith(f".branch2.{conv}.weight")]
        if any(len(shape) == 5 and shape[2] > 1 for shape in shapes):
            return arch
    return "c2d"


def _read_non_local(external: ExternalWeights, at: dict[str, list[int]], given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of NonLocal, which are the same for all blocks."""
    weights = external.weights
    blocks = [f"blocks.{STAGES[stage]}.res_blocks.{i}.after" for stage, indices in at.items() for i in indices]
    shapes = [_shape(weights, f"{block}.conv_g.weight", 4, 5) for block in blocks]
    fractions = {channels / inner for inner, channels, *_ in shapes}
    if len(fractions) > 1 or not min(fractions).is_integer():
        raise ValueError(
            f"non-local blocks with {', '.join(f'1/{fraction:g}' for fraction in sorted(fractions))} of the channels "
            "inside; expected the same whole fraction in all of them"
        )
    one = blocks[0]
    norms = {"batch": "running_var", "affine": "weight"}
    settings = {
        "bottleneck": int(min(fractions)),
        "bias": f"{one}.conv_out.bias" in weights,
        "norm": next((norm for norm, parameter in norms.items() if f"{one}.norm.{parameter}" in weights), "none"),
        **external.codebase.non_local_net,
    }
    if external.codebase.pooled_keys:
        settings["subsample"] = external.has_pooled_keys
    pairwise = "concatenation" if f"{one}.conv_concat.weight" in weights else None
    if f"{one}.conv_theta.weight" not in weights:
        pairwise = "gaussian"
    if pairwise and given.get("pairwise", pairwise) != pairwise:
        raise ValueError(f"pairwise {given['pairwise']!r}: the weights are of {pairwise!r}; leave it out")
    settings |= {name: value for name, value in given.items() if name in NON_LOCAL_CHOICES}
    settings["pairwise"] = pairwise or settings["pairwise"]
    if settings["pairwise"] != "embedded_gaussian" and "scale" not in given:
        settings["scale"] = None  # of the embedded gaussian's softmax only
    if not settings["subsample"] and "pool_after_projection" not in given:
        settings["pool_after_projection"] = False
    return settings
