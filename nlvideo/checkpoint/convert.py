"""Other codebases' weights as a network of ours."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from nlvideo.checkpoint.architecture import read_architecture
from nlvideo.checkpoint.codebases import SLOWFAST, Source, recognise
from nlvideo.checkpoint.files import read_file, unpack
from nlvideo.checkpoint.native import is_ours
from nlvideo.checkpoint.state_dict_matching import match
from nlvideo.models import ResNet3d

# Clip lengths and frame intervals of published networks: by the temporal stride of the stem, and with frozen affines.
CLIPS = {1: (8, 8), 4: (32, 2), "affine": (32, 4)}


@dataclass
class ExternalWeights:
    """The weights of another codebase.

    Attributes:
        source: the codebase.
        weights: by our names.
        subsampled: whether names show that non-local blocks pool their keys.
        notes: what else the file holds, and why it is not needed.
        hints: what the file's own configuration says about the network.
    """

    source: Source
    weights: dict[str, Tensor]
    subsampled: bool
    notes: list[str]
    hints: dict[str, Any] = field(default_factory=dict)


def convert(path: str | Path, **overrides: Any) -> ResNet3d:
    """The network of another codebase's file, with its weights, in eval mode.

    Read are video-nonlocal-net's Caffe2 pickles, SlowFast, pytorchvideo, mmaction2, and image ResNets of torchvision
    and timm, whose weights are repeated over time. The architecture is read from the weights; what they do not tell
    follows the source's conventions, unless it is given.

    The network has three more attributes: `conversion`, the report (a text that explains every entry of the file),
    and `class_names` and `preprocessing` as in `nlvideo.load`; weights know neither, so these are the source's habits.

    Args:
        path: the file.
        overrides: temporal_stride, pool1 and dropout of `ResNet3d`, arch for image networks; pairwise, scale,
            subsample, pool_after_projection and domain of `NonLocal`; temporal_groups of those in res3.

    Raises:
        ValueError: the file cannot be loaded safely or is of no codebase known here, an entry of it is not explained,
            or a weight is missing or has another shape than in the network.
    """
    content = read_file(path)
    if is_ours(content):
        raise ValueError(f"checkpoint {path}: is nlvideo's own; nlvideo.load reads it")
    try:
        return _convert(read_external(content, path), overrides)
    except ValueError as error:
        prefix = "" if str(path) in str(error) else f"{path}: "
        raise ValueError(f"{prefix}{error}") from error


def read_external(content: Any, path: str | Path) -> ExternalWeights:
    """The weights in the content of another codebase's file, by our names.

    Raises:
        ValueError: no such codebase, or a name that it does not use.
    """
    weights, rest = unpack(content, path)
    source = recognise(set(weights), path)
    ours, unexplained = {}, []
    ignored: dict[str, int] = {}
    for name, weight in weights.items():
        reason = next((reason for pattern, reason in source.ignored.items() if re.fullmatch(pattern, name)), None)
        if reason:
            ignored[reason] = ignored.get(reason, 0) + 1
        elif our_name := source.our_name(name):
            ours[our_name] = weight
        else:
            unexplained.append(name)
    if unexplained:
        shown = ", ".join(unexplained[:5]) + (", .." if len(unexplained) > 5 else "")
        raise ValueError(
            f"checkpoint {path}: taken for one of {source.name}, but {len(unexplained)} of its {len(weights)} entries "
            f"have no place in a C2D or I3D ResNet: {shown}"
        )
    notes = [f"{count} not needed: {reason}" for reason, count in ignored.items()]
    if rest:
        notes.append(f"not weights: {', '.join(sorted(map(str, rest)))}")
    subsampled = source.subsampled is not None and any(source.subsampled in name for name in weights)
    hints = _read_slowfast_config(rest.get("cfg")) if source is SLOWFAST else {}
    return ExternalWeights(source, ours, subsampled, notes, hints)


def _read_slowfast_config(cfg: Any) -> dict[str, Any]:
    """SlowFast's files hold their configuration as YAML text."""
    if not isinstance(cfg, str):
        return {}
    try:
        instantiation = yaml.safe_load(cfg)["NONLOCAL"]["INSTANTIATION"]
    except (yaml.YAMLError, KeyError, TypeError, RecursionError):
        return {}
    pairwise = {"softmax": "embedded_gaussian", "dot_product": "dot_product"}
    return {"pairwise": pairwise[instantiation]} if instantiation in list(pairwise) else {}


def _convert(foreign: ExternalWeights, overrides: dict[str, Any]) -> ResNet3d:
    source, notes = foreign.source, list(foreign.notes)
    has_blocks = any(".after." in name for name in foreign.weights)
    given = {**(foreign.hints if has_blocks else {}), **overrides}
    settings = read_architecture(foreign.weights, source, foreign.subsampled, given)
    net = ResNet3d(**settings)
    target = net.state_dict()
    transfer = match(foreign.weights, target)

    missing, filled = [], []
    for name in transfer.new:
        if name.endswith(".num_batches_tracked") or _is_inner_bias(name):
            transfer.loaded[name] = torch.zeros_like(target[name])
            filled.append(name)
        else:
            missing.append(f"{name} is missing")
    problems = [*missing, *(f"{name}: {reason}" for name, reason in transfer.dropped.items())]
    if problems:
        depths = settings["depth"]
        raise ValueError(
            f"taken for {settings['arch']}, depth {depths}, width {settings['width']} of {source.name}, but "
            f"{len(problems)} weights do not fit: {'; '.join(problems[:4])}{'; ..' if len(problems) > 4 else ''}"
        )
    net.load_state_dict(transfer.loaded)
    if filled:
        biases = [name for name in filled if _is_inner_bias(name)]
        counters = len(filled) - len(biases)
        notes += [f"{counters} set to 0 that {source.name} does not keep: counters of batches"] if counters else []
        notes += [f"{len(biases)} biases of theta, phi and g set to 0: there are none there"] if biases else []
    if transfer.inflated:
        notes.append(f"{len(transfer.inflated)} image convolutions made three-dimensional")

    num_frames, frame_interval = CLIPS["affine" if settings["freeze_bn"] == "affine" else settings["temporal_stride"]]
    mean, std = source.normalisation
    net.class_names = [f"class {label}" for label in range(net.num_classes)]
    net.preprocessing = {
        "clip_frames": num_frames,
        "frame_interval": frame_interval,
        "kind": "dense",
        "target_fps": None,
        "short_side": 256,
        "crop_size": 256,
        "mean": mean,
        "std": std,
    }
    net.conversion = _report(foreign, settings, notes, given)
    return net.eval()


def _is_inner_bias(name: str) -> bool:
    """`NonLocal`'s theta, phi and g have a bias always; one of 0 is none."""
    return re.search(r"\.after\.conv_(theta|phi|g)\.bias$", name) is not None


def _report(foreign: ExternalWeights, settings: dict[str, Any], notes: list[str], given: dict[str, Any]) -> str:
    source = foreign.source
    inserts = list(settings.get("after", {}).values())
    block = inserts[0].block.keywords if inserts else {}
    assumed = {name: settings[name] for name in ("temporal_stride", "pool1")}
    assumed |= {name: value for name, value in block.items() if name in (*source.block_settings, "temporal_groups")}
    read = {name: value for name, value in settings.items() if name not in (*assumed, "after")}
    if inserts:
        read["non-local blocks"] = {stage: indices for insert in inserts for stage, indices in insert.at.items()}
        read |= {name: value for name, value in block.items() if name not in assumed}
    lines = [
        f"{source.name}: {len(foreign.weights)} weights, all of them used",
        *notes,
        f"read from the weights: {_listed(read)}",
        f"as is usual there, or given: {_listed(assumed)}"
        + (f" (told by the caller or the file: {', '.join(given)})" if given else ""),
        f"pixels: (x / 255 - mean) / std with mean {source.normalisation[0]}, std {source.normalisation[1]}",
    ]
    return "\n  ".join(lines)


def _listed(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
