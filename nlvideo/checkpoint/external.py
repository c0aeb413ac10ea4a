"""The weights in another codebase's file, by our names."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nlvideo.checkpoint.codebases import Codebase, recognise

# Where the codebases keep the weights in a file: video-nonlocal-net; SlowFast and pytorchvideo; mmaction2 and timm;
# torchvision's training reference.
CONTAINERS = ("blobs", "model_state", "state_dict", "model")


@dataclass(frozen=True)
class ExternalWeights:
    """The weights of another codebase.

    Attributes:
        codebase: whose they are.
        weights: by our names.
        has_pooled_keys: names show that non-local blocks pool their keys.
        notes: what else the file holds, and why it is not needed.
        hints: arguments of NonLocal that the file tells beside the weights.
    """

    codebase: Codebase
    weights: dict[str, Tensor]
    has_pooled_keys: bool
    notes: list[str]
    hints: dict[str, Any]


def read_external(content: Any) -> ExternalWeights:
    """Return the weights in the content of a file.

    Raises:
        ValueError: there are no weights, no codebase known here uses their names, or one of them is not its.
    """
    theirs, rest = unpack(content)
    codebase = recognise(theirs)
    ours, unexplained, ignored = {}, [], Counter()
    for name, weight in theirs.items():
        if what := [what for pattern, what in codebase.ignored.items() if re.fullmatch(pattern, name)]:
            ignored[what[0]] += 1
        elif our_name := codebase.our_name(name):
            ours[our_name] = weight
        else:
            unexplained.append(name)
    if unexplained:
        shown = ", ".join(unexplained[:5]) + (", .." if len(unexplained) > 5 else "")
        raise ValueError(
            f"taken for one of {codebase.name}, but {len(unexplained)} of its {len(theirs)} entries have no place in "
            f"a C2D or I3D ResNet: {shown}"
        )
    notes = [f"{count} not needed: {what}" for what, count in ignored.items()]
    if rest:
        notes.append(f"not weights: {', '.join(sorted(map(str, rest)))}")
    has_pooled_keys = codebase.pooled_keys is not None and any(codebase.pooled_keys in name for name in theirs)
    return ExternalWeights(codebase, ours, has_pooled_keys, notes, codebase.hints(rest))


def unpack(content: Any) -> tuple[dict[str, Tensor], dict[Any, Any]]:
    """Return the weights in the content of a file, without the prefixes of wrappers, and its other entries.

    Raises:
        ValueError: the content has no weights.
    """
    weights, rest = content, {}
    for name in CONTAINERS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            weights = content[name]
            rest = {key: value for key, value in content.items() if key != name}
            break
    if not isinstance(weights, dict) or not any(_is_weight(*item) for item in weights.items()):
        raise ValueError(
            f"no weights in it; expected names and tensors, or these under {', '.join(CONTAINERS[:-1])} or "
            f"{CONTAINERS[-1]}"
        )
    rest |= {name: value for name, value in weights.items() if not _is_weight(name, value)}
    weights = {name: torch.as_tensor(value) for name, value in weights.items() if _is_weight(name, value)}
    for prefix in ("module.", "model."):  # DistributedDataParallel, and SlowFast around pytorchvideo
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): weight for name, weight in weights.items()}
    return weights, rest


def _is_weight(name: Any, value: Any) -> bool:
    if isinstance(value, Tensor):
        is_plain = value.layout is torch.strided and not value.is_meta
        return isinstance(name, str) and is_plain and not value.is_complex() and value.dtype is not torch.bool
    return isinstance(name, str) and isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
