"""Read weights from files of PyTorch, Caffe2 and safetensors, without running anything that stands in them."""

import pickle
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nlvideo.checkpoint import numpy_pickle

# Where the codebases keep the weights in a file: video-nonlocal-net; SlowFast and pytorchvideo; mmaction2 and timm;
# torchvision's training reference.
CONTAINERS = ("blobs", "model_state", "state_dict", "model")

ZIP = b"PK\x03\x04"
TORCH_LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)  # before torch 1.6: a pickled magic number


class WeightsFile(NamedTuple):
    """The content of a file.

    Attributes:
        weights: by the names of the codebase.
        rest: the other entries of the file, such as epoch and cfg.
    """

    weights: dict[str, Tensor]
    rest: dict[str, Any]


def read_file(path: str | Path) -> Any:
    """Return the content of a PyTorch, Caffe2 or safetensors file: containers, plain values, tensors or numpy arrays.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or holds anything else, which could run code.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path}: no such file")
    with path.open("rb") as file:
        start = file.read(len(TORCH_LEGACY))
    is_torch = start == TORCH_LEGACY or start.startswith(ZIP)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if is_torch:
            return torch.load(path, map_location="cpu", weights_only=True)
        return numpy_pickle.loads(path.read_bytes())
    except OSError:
        raise
    except SafetensorError as error:
        raise ValueError(f"checkpoint {path}: not a safetensors file, or a damaged one ({error})") from error
    except Exception as error:  # a damaged file raises anything
        expected = "tensors and plain values" if is_torch else "numpy arrays of numbers and plain values"
        raise ValueError(
            f"checkpoint {path}: cannot be loaded safely: it is damaged, or holds more than {expected} "
            f"({_reason(error)})"
        ) from error


def _reason(error: Exception) -> str:
    """Return what torch refused, without its page of advice to trust the file."""
    text = str(error)
    if asked := re.search(r"Unsupported global: GLOBAL (\S+)", text):
        return f"it asks for {asked[1]}"
    lines = [line.strip() for line in text.partition("Check the documentation of torch.load")[0].splitlines()]
    lines = [line for line in lines if line and "weights_only" not in line and "Weights only" not in line]
    return " ".join(lines)[:200] or type(error).__name__


def unpack(content: Any, path: str | Path) -> WeightsFile:
    """Return the weights in the content of a file, from any of `CONTAINERS`, without the prefixes of wrappers.

    Raises:
        ValueError: the content has no weights.
    """
    weights, rest = content, {}
    for name in CONTAINERS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            weights = content[name]
            rest = {key: value for key, value in content.items() if key != name}
            break
    if not isinstance(weights, dict) or not any(map(_is_weight, weights.items())):
        raise ValueError(
            f"checkpoint {path}: no weights in it; expected names and tensors, or these under "
            f"{', '.join(CONTAINERS[:-1])} or {CONTAINERS[-1]}"
        )
    rest |= dict(item for item in weights.items() if not _is_weight(item))
    weights = {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for name, value in filter(_is_weight, weights.items())
    }
    for prefix in ("module.", "model."):  # DistributedDataParallel, and SlowFast around pytorchvideo
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): weight for name, weight in weights.items()}
    return WeightsFile(weights, rest)


def _is_weight(item: tuple[Any, Any]) -> bool:
    name, value = item
    is_array = isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
    return isinstance(name, str) and (is_array or isinstance(value, Tensor))
