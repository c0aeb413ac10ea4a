"""The network that weights belong to, read from their names and shapes.

Names are ours (`nlvideo.checkpoint.codebases`); shapes are [O, I, T, H, W], or [O, I, H, W] of image networks.
"""

import re
from functools import partial
from typing import Any

from torch import Tensor

from nlvideo.blocks import NonLocal
from nlvideo.checkpoint.codebases import HEAD, STAGES, STEM, Source
from nlvideo.models import Insert
from nlvideo.models.resnet3d import DEPTHS

# What weights cannot tell, and whoever converts may know better than the source's default.
NET_CHOICES = ("temporal_stride", "pool1", "dropout")
BLOCK_CHOICES = ("pairwise", "scale", "subsample", "pool_after_projection", "domain")


def read_architecture(weights: dict[str, Tensor], source: Source, subsampled: bool, given: dict[str, Any]) -> dict:
    """Arguments of ResNet3d.

    Args:
        weights: by our names.
        source: whose conventions hold where nothing else is given.
        subsampled: whether the source's names show pooled keys.
        given: what the caller knows better.

    Raises:
        ValueError: weights are missing, are of no network that ResNet3d can be, or disagree with `given`.
    """
    for name in (f"{STEM}.conv.weight", f"{HEAD}.weight"):
        if name not in weights:
            raise ValueError(f"no {name}: the file holds a part of a network; to start from it use init_from")
    stem = weights[f"{STEM}.conv.weight"]
    images = stem.ndim == 4
    choices = (*NET_CHOICES, *(["arch"] if images else []))
    inserts = _blocks_of(weights, ".after.conv_g.weight")
    valid = (*choices, *(BLOCK_CHOICES if inserts else ()), *(["temporal_groups"] if "res3" in inserts else []))
    for name in given:
        if name not in valid:
            needs_block = name in (*BLOCK_CHOICES, "temporal_groups")
            reason = "no non-local block that it is for" if needs_block else "read from the weights, or unknown"
            raise ValueError(f"{name}: {reason}; what can be given for these weights is {', '.join(valid)}")

    depths = [len(_blocks_of(weights, ".branch2.conv_a.weight").get(stage, [])) for stage in STAGES]
    settings = {
        "arch": "c2d" if images else _read_arch(weights),
        "depth": next((depth for depth, blocks in DEPTHS.items() if blocks == depths), depths),
        "num_classes": weights[f"{HEAD}.weight"].shape[0],
        "width": stem.shape[0],
        "residual": "bottleneck" if any(name.endswith(".conv_c.weight") for name in weights) else "basic",
        "stem_kernel": stem.shape[-1],
        "freeze_bn": "none" if f"{STEM}.norm.running_var" in weights else "affine",
        **source.net,
        **(source.images if images else {}),
        **{name: value for name, value in given.items() if name in choices},
    }
    if inserts:
        groups = given.get("temporal_groups", source.frozen_groups if settings["freeze_bn"] == "affine" else 1)
        block = partial(NonLocal, **_read_non_local(weights, source, subsampled, given))
        settings["after"] = {"main": Insert(block, inserts)}
        if groups > 1 and "res3" in inserts:
            # The paper's code cuts clips for the blocks of res3 only, whose maps are the largest.
            others = {stage: indices for stage, indices in inserts.items() if stage != "res3"}
            in_groups = partial(NonLocal, **block.keywords, temporal_groups=groups)
            settings["after"] = {
                "in_groups": Insert(in_groups, {"res3": inserts["res3"]}),
                "whole_clip": Insert(block, others),
            }
    return settings


def _blocks_of(weights: dict[str, Tensor], suffix: str) -> dict[str, list[int]]:
    """The residual blocks that have a weight, by stage: {"res3": [1, 3]}."""
    found: dict[str, list[int]] = {}
    for stage, number in STAGES.items():
        pattern = rf"blocks\.{number}\.res_blocks\.(\d+){re.escape(suffix)}"
        indices = sorted(int(match[1]) for name in weights if (match := re.fullmatch(pattern, name)))
        if indices:
            found[stage] = indices
    return found


def _read_arch(weights: dict[str, Tensor]) -> str:
    for conv, arch in (("conv_a", "i3d"), ("conv_b", "i3d_3x3x3")):
        if any(name.endswith(f".branch2.{conv}.weight") and weight.shape[2] > 1 for name, weight in weights.items()):
            return arch
    return "c2d"


def _read_non_local(weights: dict[str, Tensor], source: Source, subsampled: bool, given: dict) -> dict[str, Any]:
    """Arguments of NonLocal; the same for all blocks."""
    prefixes = sorted(name.removesuffix("conv_g.weight") for name in weights if name.endswith(".after.conv_g.weight"))
    one = prefixes[0]
    ratios = {
        weights[f"{prefix}conv_g.weight"].shape[1] / weights[f"{prefix}conv_g.weight"].shape[0] for prefix in prefixes
    }
    if len(ratios) > 1 or not min(ratios).is_integer():
        raise ValueError(
            f"non-local blocks with {', '.join(f'1/{ratio:g}' for ratio in sorted(ratios))} of the channels inside; "
            "expected the same whole fraction in all of them"
        )
    settings = {
        "bottleneck": int(min(ratios)),
        "bias": f"{one}conv_out.bias" in weights,
        "norm": "batch"
        if f"{one}norm.running_var" in weights
        else "affine"
        if f"{one}norm.weight" in weights
        else "none",
        **source.block_settings,
    }
    if source.subsampled:
        settings["subsample"] = subsampled
    pairwise = "concatenation" if f"{one}conv_concat.weight" in weights else None
    if f"{one}conv_theta.weight" not in weights:
        pairwise = "gaussian"
    if pairwise and given.get("pairwise", pairwise) != pairwise:
        raise ValueError(f"pairwise {given['pairwise']!r}: the weights are of {pairwise!r}; leave it out")
    settings |= {name: value for name, value in given.items() if name in BLOCK_CHOICES}
    settings["pairwise"] = pairwise or settings["pairwise"]
    if settings["pairwise"] != "embedded_gaussian" and "scale" not in given:
        settings["scale"] = None  # of the embedded gaussian's softmax only
    if not settings["subsample"] and "pool_after_projection" not in given:
        settings["pool_after_projection"] = False
    return settings
