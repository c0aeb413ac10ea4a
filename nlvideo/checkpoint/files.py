"""Read files of PyTorch, Caffe2 and safetensors, without running anything that stands in them."""

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from nlvideo.checkpoint import numpy_pickle

ZIP = b"PK\x03\x04"
TORCH_LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)  # before torch 1.6: a pickled magic number


def read_file(path: str | Path) -> Any:
    """Return the content of a PyTorch, Caffe2 or safetensors file: containers, plain values, tensors or numpy arrays.

    Raises:
        FileNotFoundError: there is no such file.
        IsADirectoryError: it is a folder.
        ValueError: the file is damaged, or holds anything else, which could run code.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"checkpoint {path}: is a folder; expected a file, such as {path / 'last.ckpt'}")
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
