"""Our checkpoints: what they record of a network, and the way back.

A checkpoint is Lightning's file with one more entry, ``nlvideo``: plain values that rebuild the network and say how
its clips were cut and normalised. It is read with ``weights_only=True``: nothing in it is executed.
"""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from jsonargparse import ArgumentParser
from torch import Tensor

import nlvideo
from nlvideo.models import Backbone


def normalise(video: Tensor, mean: float, std: float) -> Tensor:
    """uint8 -> float of the same shape: (pixel / 255 - mean) / std."""
    return (video.float() / 255 - mean) / std


def record(
    net: Backbone, *, class_names: list[str], preprocessing: dict[str, Any], run_config: dict[str, Any]
) -> dict[str, Any]:
    """What the entry ``nlvideo`` of a checkpoint holds; `run_config` is the content of the run's config.yaml."""
    return {
        "version": nlvideo.__version__,
        "net": net.config(),
        "run_config": run_config,
        "class_names": class_names,
        "preprocessing": preprocessing,
    }


def read(path: str | Path) -> dict[str, Any]:
    """A whole checkpoint of ours, on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a checkpoint that nlvideo wrote.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path}: no such file")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError) as error:
        reason = "it is damaged, or holds more than tensors and plain values"
        raise ValueError(f"checkpoint {path}: not a file that torch can load safely: {reason}") from error
    if not isinstance(checkpoint, dict) or "nlvideo" not in checkpoint:
        raise ValueError(f"checkpoint {path}: not written by nlvideo, it has no entry 'nlvideo'")
    return checkpoint


def load(path: str | Path) -> Backbone:
    """The network of a checkpoint, from the file alone, in eval mode.

    It has two more attributes: `class_names`, and `preprocessing`, how a clip was cut and normalised.
    """
    checkpoint = read(path)
    net = build(checkpoint["nlvideo"]["net"])
    net.load_state_dict(_net_weights(checkpoint))
    net.class_names = checkpoint["nlvideo"]["class_names"]
    net.preprocessing = checkpoint["nlvideo"]["preprocessing"]
    return net.eval()


def build(config: dict[str, Any]) -> Backbone:
    """The network that a YAML node (class_path, init_args) describes."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--net", type=Backbone)
    return parser.instantiate(parser.parse_object({"net": config})).net


def init_from(net: Backbone, path: str | Path) -> str:
    """Copies the weights of a checkpoint wherever names and shapes agree.

    Returns:
        A line that says what was loaded, what is new in `net` and what was left out.

    Raises:
        ValueError: nothing agrees.
    """
    source, target = _net_weights(read(path)), net.state_dict()
    fits = {name: w for name, w in source.items() if name in target and target[name].shape == w.shape}
    if not fits:
        raise ValueError(f"init_from {path}: no weight has a name and shape of this network; is it another one?")
    net.load_state_dict(fits, strict=False)
    new, dropped = sorted(target.keys() - fits.keys()), sorted(source.keys() - fits.keys())
    return (
        f"init_from {path}: {len(fits)} tensors loaded; {len(new)} new {_some(new)}; "
        f"{len(dropped)} not used {_some(dropped)}"
    )


def check_same_network(net: Backbone, checkpoint: dict[str, Any], path: Path) -> None:
    """Raises a ValueError that names the settings in which a checkpoint's network is another one than `net`."""
    if "nlvideo" not in checkpoint:
        raise ValueError(f"checkpoint {path}: not written by nlvideo, it has no entry 'nlvideo'")
    differences = _differences(checkpoint["nlvideo"]["net"], net.config(), "net")
    if differences:
        raise ValueError(
            f"checkpoint {path} holds another network: {'; '.join(differences)}. Use the configuration it was "
            f"trained with (-c {path.parent / 'config.yaml'}), or start from its weights: --model.init_from {path}"
        )


def _net_weights(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    prefix = "net."
    return {
        name.removeprefix(prefix): weight
        for name, weight in checkpoint["state_dict"].items()
        if name.startswith(prefix)
    }


def _differences(saved: Any, given: Any, key: str) -> list[str]:
    if isinstance(saved, dict) and isinstance(given, dict):
        return [
            difference
            for name in sorted(saved.keys() | given.keys(), key=str)
            for difference in _differences(saved.get(name), given.get(name), f"{key}.{name}")
        ]
    key = key.replace(".init_args", "")
    return [] if saved == given else [f"{key} is {saved} there and {given} here"]


def _some(names: list[str]) -> str:
    return f"({', '.join(names[:3])}{', ..' if len(names) > 3 else ''})" if names else ""
