"""Weights out of other codebases' files, without running anything that stands in them."""

import json
import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

# Where the codebases keep the weights in a file: video-nonlocal-net; SlowFast and pytorchvideo; mmaction2 and timm;
# torchvision's training reference.
CONTAINERS = ("blobs", "model_state", "state_dict", "model")

# How torch's files begin that are no zip archives: a pickled magic number.
TORCH_LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)

# What a pickled numpy array asks for. numpy 2 moved numpy.core to numpy._core.
ARRAY_PARTS = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", np.zeros(0).__reduce_ex__(4)[0]),
            ("multiarray", "scalar", np.float64(0).__reduce__()[0]),
            ("numeric", "_frombuffer", np.zeros(0).__reduce_ex__(5)[0]),
        )
    },
}


class WeightsFile(NamedTuple):
    """What a file holds.

    Attributes:
        weights: by the names of the codebase.
        rest: the other entries of the file, such as epoch and cfg.
    """

    weights: dict[str, Tensor]
    rest: dict[str, Any]


def read_file(path: str | Path) -> Any:
    """The content of a torch file, a Caffe2 pickle or a safetensors file: containers, plain values, and tensors or
    numpy arrays.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is none of these, or holds anything else, which could run code.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path}: no such file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    with path.open("rb") as file:
        is_torch = zipfile.is_zipfile(path) or file.read(len(TORCH_LEGACY)) == TORCH_LEGACY
        file.seek(0)
        try:
            if is_torch:
                return torch.load(path, map_location="cpu", weights_only=True)
            return _ArraysOnly(file, encoding="latin1").load()  # Python 2 wrote its arrays as latin1 text
        except Exception as error:  # a damaged pickle can raise anything
            expected = "tensors and plain values" if is_torch else "numpy arrays and plain values"
            asked = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))  # in a page of torch's advice
            reason = f"it asks for {asked[1]}" if asked else " ".join(str(error).split())[:200] or type(error).__name__
            raise ValueError(
                f"checkpoint {path}: cannot be loaded safely: it is damaged, or holds more than {expected} ({reason})"
            ) from error


def unpack(content: Any, path: str | Path) -> WeightsFile:
    """The weights in the content of a file, whatever it calls them, without the prefixes of wrappers."""
    weights, rest = content, {}
    for name in CONTAINERS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            weights = content[name]
            rest = {key: value for key, value in content.items() if key != name}
            break
    if not isinstance(weights, dict) or not any(map(_is_weight, weights.values())):
        raise ValueError(
            f"checkpoint {path}: no weights in it; expected names and tensors, or these under "
            f"{', '.join(CONTAINERS[:-1])} or {CONTAINERS[-1]}"
        )
    rest |= {name: value for name, value in weights.items() if not _is_weight(value)}
    weights = {
        name: torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value
        for name, value in weights.items()
        if _is_weight(value)
    }
    for prefix in ("module.", "model."):  # DistributedDataParallel, and SlowFast around pytorchvideo
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): weight for name, weight in weights.items()}
    return WeightsFile(weights, rest)


def _is_weight(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype.kind in "fiu")


class _ArraysOnly(pickle.Unpickler):
    """A pickle names the functions that put its objects together; this one finds numpy's arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        if (module, name) not in ARRAY_PARTS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return ARRAY_PARTS[module, name]


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes into a Python 2 pickle."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for bytes in {encoding}")
    return text.encode("latin1")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """8 bytes: length of the header; the header: JSON, name -> dtype, shape and place of a tensor; the tensors."""
    dtypes = {
        "F64": torch.float64,
        "F32": torch.float32,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "I64": torch.int64,
    }
    content = path.read_bytes()
    try:
        (length,) = struct.unpack_from("<Q", content)
        header = json.loads(content[8 : 8 + length])
        header.pop("__metadata__", None)
        data = bytearray(content[8 + length :])
        tensors = {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            flat = torch.frombuffer(data[begin:end], dtype=dtypes[entry["dtype"]])
            tensors[name] = flat.reshape(entry["shape"])
    except (struct.error, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"checkpoint {path}: not a safetensors file of floating-point weights ({error})") from error
    return tensors
