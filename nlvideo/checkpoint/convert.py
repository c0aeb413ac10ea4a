"""Another codebase's file as a network of ours."""

import re
from pathlib import Path
from typing import Any

import torch

from nlvideo.checkpoint.architecture import Architecture, read_architecture
from nlvideo.checkpoint.external import ExternalWeights, read_external
from nlvideo.checkpoint.files import read_file
from nlvideo.checkpoint.native import is_ours
from nlvideo.checkpoint.state_dict_matching import match
from nlvideo.models import ResNet3d

# Clip lengths and frame intervals of published networks: by the temporal stride of the stem, and with frozen affines.
CLIPS = {1: (8, 8), 4: (32, 2), "affine": (32, 4)}


def convert(path: str | Path, **overrides: Any) -> ResNet3d:
    """Return the network of another codebase's file, with its weights, in eval mode.

    Reads video-nonlocal-net's Caffe2 pickles, SlowFast, pytorchvideo, mmaction2, and image ResNets of torchvision and
    timm, whose weights are repeated over time. The architecture is read from the weights; what they do not tell
    follows the codebase's conventions, unless it is given.

    The network has three more attributes: `conversion`, the report (a text that explains every entry of the file),
    and `class_names` and `preprocessing` as in `nlvideo.load`; weights tell neither, so these are the codebase's
    habits.

    Args:
        path: the file.
        overrides: temporal_stride, pool1 and dropout of `ResNet3d`, arch for image networks; pairwise, scale,
            subsample, pool_after_projection and domain of `NonLocal`; temporal_groups of those in res3.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be loaded safely or is of no codebase known here, an entry of it is not explained,
            or a weight is missing or has another shape than in the network.
    """
    content = read_file(path)
    if is_ours(content):
        raise ValueError(f"checkpoint {path}: is nlvideo's own; nlvideo.load reads it")
    try:
        external = read_external(content)
        given = {**(external.hints if any(".after." in name for name in external.weights) else {}), **overrides}
        architecture = read_architecture(external, given)
        net, notes = _load(architecture, external)
    except ValueError as error:
        raise ValueError(f"checkpoint {path}: {error}") from error
    settings = architecture.net
    num_frames, frame_interval = CLIPS["affine" if settings["freeze_bn"] == "affine" else settings["temporal_stride"]]
    mean, std = external.codebase.normalisation
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
    net.conversion = _report(external, architecture, [*external.notes, *notes], given)
    return net.eval()


def _load(architecture: Architecture, external: ExternalWeights) -> tuple[ResNet3d, list[str]]:
    """Return the network with its weights, and notes on what was done to them."""
    with torch.device("meta"):  # no memory is taken before names and shapes fit
        net = architecture.build()
    target = net.state_dict()
    transfer = match(external.weights, target)
    counters = [name for name in transfer.new if name.endswith(".num_batches_tracked")]
    # A bias of 0 is none.
    biases = [name for name in transfer.new if re.search(r"\.after\.conv_(theta|phi|g)\.bias$", name)]
    problems = [f"{name} is missing" for name in transfer.new if name not in (*counters, *biases)]
    problems += [f"{name}: {reason}" for name, reason in transfer.dropped.items()]
    if problems:
        raise ValueError(
            "taken for {arch}, depth {depth}, width {width} of ".format(**architecture.net)
            + f"{external.codebase.name}, but {len(problems)} weights do not fit: {'; '.join(problems[:4])}"
            + ("; .." if len(problems) > 4 else "")
        )
    zeros = {name: torch.zeros(target[name].shape) for name in (*counters, *biases)}
    net.to_empty(device="cpu").load_state_dict({**transfer.loaded, **zeros})
    notes = {
        f"set to 0 that {external.codebase.name} does not keep: counters of batches": counters,
        "biases of theta, phi and g set to 0: there are none there": biases,
        "image convolutions made three-dimensional": transfer.inflated,
    }
    return net, [f"{len(names)} {note}" for note, names in notes.items() if names]


def _report(external: ExternalWeights, architecture: Architecture, notes: list[str], given: dict[str, Any]) -> str:
    codebase = external.codebase
    settings = {**architecture.net, **architecture.non_local}
    if architecture.groups > 1:
        settings["temporal_groups"] = architecture.groups
    conventions = ("temporal_stride", "pool1", *codebase.non_local_net, "temporal_groups")
    assumed = {name: value for name, value in settings.items() if name in conventions}
    read = {name: value for name, value in settings.items() if name not in conventions}
    if architecture.at:
        read["non-local blocks"] = architecture.at
    mean, std = codebase.normalisation
    lines = [
        f"{codebase.name}: {len(external.weights)} weights, all of them used",
        *notes,
        f"read from the weights: {_listed(read)}",
        f"as is usual there, or given: {_listed(assumed)}"
        + (f" (told by the caller or the file: {', '.join(given)})" if given else ""),
        f"pixels: (x / 255 - mean) / std with mean {mean}, std {std}",
    ]
    return "\n  ".join(lines)


def _listed(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
