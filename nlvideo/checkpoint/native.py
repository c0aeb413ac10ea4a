"""Our checkpoints: what they record of a network, and the way back.

A checkpoint is Lightning's file with one more entry, ``nlvideo``: plain values that rebuild the network and say how
its clips were cut and normalised. It is read with ``weights_only=True``: nothing in it is executed.
"""

from pathlib import Path
from typing import Any

import lightning
import torch
from jsonargparse import ArgumentError, ArgumentParser
from torch import Tensor

import nlvideo
from nlvideo.checkpoint.files import read_file
from nlvideo.models import Backbone

# Of the entry ``nlvideo``. It goes up when an older nlvideo could not read the file, or would read it wrongly.
FORMAT = 1


def record(
    net: Backbone, *, class_names: list[str], preprocessing: dict[str, Any], run_config: dict[str, Any]
) -> dict[str, Any]:
    """What the entry ``nlvideo`` of a checkpoint holds; `run_config` is the content of the run's config.yaml."""
    return {
        "format": FORMAT,
        "version": nlvideo.__version__,
        "net": net.config(),
        "run_config": run_config,
        "class_names": class_names,
        "preprocessing": preprocessing,
    }


def save(net: Backbone, path: str | Path) -> None:
    """Writes a network with `class_names` and `preprocessing` as a checkpoint, as if a run had ended with it: `load`,
    ``nlvideo predict`` and ``nlvideo test`` read it, and ``--model.init_from``."""
    content = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": lightning.__version__,
        "state_dict": {f"net.{name}": weight for name, weight in net.state_dict().items()},
        "nlvideo": record(net, class_names=net.class_names, preprocessing=net.preprocessing, run_config={}),
    }
    torch.save(content, path)


def read(path: str | Path) -> dict[str, Any]:
    """A whole checkpoint of ours, on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a checkpoint that nlvideo wrote, or not one that this nlvideo can read.
    """
    return check_ours(read_file(path), path)


def is_ours(content: Any) -> bool:
    return isinstance(content, dict) and "nlvideo" in content


def check_ours(content: Any, path: str | Path) -> dict[str, Any]:
    """The content of a file if it is a checkpoint that this nlvideo can read, a ValueError if not."""
    if not is_ours(content):
        raise ValueError(
            f"checkpoint {path}: not written by nlvideo, it has no entry 'nlvideo'; another codebase's becomes ours "
            f"with: python tools/convert_checkpoint.py {path} -o converted.ckpt"
        )
    its = content["nlvideo"]
    if its.get("format", FORMAT) != FORMAT:
        raise ValueError(
            f"checkpoint {path}: written by nlvideo {its['version']} in format {its['format']}, and this is nlvideo "
            f"{nlvideo.__version__}, which reads format {FORMAT}; use nlvideo {its['version']}"
        )
    return content


def load(path: str | Path) -> Backbone:
    """The network of a checkpoint, from the file alone, in eval mode.

    It has two more attributes: `class_names`, and `preprocessing`, how a clip was cut and normalised.
    """
    checkpoint = read(path)
    try:
        net = build(checkpoint["nlvideo"]["net"])
        net.load_state_dict(net_weights(checkpoint))
    except (ArgumentError, ValueError, TypeError, RuntimeError) as error:
        version = checkpoint["nlvideo"]["version"]
        raise ValueError(
            f"checkpoint {path}: written by nlvideo {version}, and its network cannot be built with this nlvideo "
            f"{nlvideo.__version__}; use nlvideo {version} ({' '.join(str(error).split())[:300]})"
        ) from error
    net.class_names = checkpoint["nlvideo"]["class_names"]
    net.preprocessing = checkpoint["nlvideo"]["preprocessing"]
    return net.eval()


def build(config: dict[str, Any]) -> Backbone:
    """The network that a YAML node (class_path, init_args) describes."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--net", type=Backbone)
    return parser.instantiate(parser.parse_object({"net": config})).net


def check_same_network(net: Backbone, checkpoint: dict[str, Any], path: Path) -> None:
    """Raises a ValueError that names the settings in which a checkpoint's network is another one than `net`."""
    check_ours(checkpoint, path)
    differences = _differences(checkpoint["nlvideo"]["net"], net.config(), "net")
    if differences:
        raise ValueError(
            f"checkpoint {path} holds another network: {'; '.join(differences)}. Use the configuration it was "
            f"trained with (-c {path.parent / 'config.yaml'}), or start from its weights: --model.init_from {path}"
        )


def net_weights(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The weights of the network in a checkpoint of ours, by its own names."""
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
