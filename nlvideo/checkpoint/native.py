"""Our own checkpoints: what they record of a network, and how to read it.

A checkpoint is Lightning's file with one more entry, ``nlvideo``: plain values that say which network it holds and how
its clips were cut and normalised. Nothing in it is executed: tensors are read with ``weights_only=True``, and the
network is built from classes of nlvideo and of modules that the user names, see `nlvideo.checkpoint.rebuild`.
"""

import copy
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from jsonargparse import ArgumentParser
from torch import Tensor

import nlvideo
from nlvideo.checkpoint.files import read_file
from nlvideo.checkpoint.rebuild import SHOWN, known_classes, rebuild
from nlvideo.files import replacing
from nlvideo.models import Backbone

# Of the entry ``nlvideo``. Raise it when an older nlvideo could not read the file, or would read it wrongly.
FORMAT = 2

# The entries of a record, and their types.
RECORD = {
    "format": int,
    "version": str,
    "net": dict,
    "run_config": dict,
    "class_names": list,
    "preprocessing": dict,
}
# How a clip of frames is cut out of a video and normalised, see `nlvideo.data.VideoData`, and the types of the values.
PREPROCESSING = {
    **dict.fromkeys(("clip_frames", "frame_interval", "crop_size"), (int,)),
    "short_side": (int, type(None)),  # None leaves frames their size
    "kind": (str,),
    "target_fps": (int, float, type(None)),
    **dict.fromkeys(("mean", "std"), (int, float, list, tuple)),
}


def record(
    net: Backbone, *, class_names: list[str], preprocessing: dict[str, Any], run_config: dict[str, Any]
) -> dict[str, Any]:
    """Return the entry ``nlvideo`` of a checkpoint; `run_config` is the content of the run's config.yaml."""
    return {
        "format": FORMAT,
        "version": nlvideo.__version__,
        "net": net.config(),
        "run_config": run_config,
        "class_names": class_names,
        "preprocessing": preprocessing,
    }


def save(net: Backbone, path: str | Path) -> None:
    """Write a network with `class_names` and `preprocessing` as a checkpoint without a run, which `load`,
    ``nlvideo predict``, ``nlvideo test`` and ``--model.init_from`` read."""
    content = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": lightning.__version__,
        "state_dict": {f"net.{name}": weight for name, weight in net.state_dict().items()},
        "nlvideo": record(net, class_names=net.class_names, preprocessing=net.preprocessing, run_config={}),
    }
    with replacing(Path(path)) as partial:
        torch.save(content, partial)


def read(path: str | Path) -> dict[str, Any]:
    """Return the content of one of our checkpoints, on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or no checkpoint that this nlvideo can read.
    """
    return check_ours(read_file(path), path)


def is_ours(content: Any) -> bool:
    return isinstance(content, dict) and "nlvideo" in content


def check_ours(content: Any, path: str | Path) -> dict[str, Any]:
    """Return the content of a file if it is a checkpoint that this nlvideo can read.

    Raises:
        ValueError: it is not; the message says why.
    """
    if not is_ours(content):
        raise ValueError(
            f"checkpoint {path}: not written by nlvideo, it has no entry 'nlvideo'; another codebase's becomes ours "
            f"with: python tools/convert_checkpoint.py {path} -o converted.ckpt"
        )
    entry, state = content["nlvideo"], content.get("state_dict")
    if not isinstance(entry, dict):
        raise ValueError(f"checkpoint {path}: damaged: the entry 'nlvideo' is no mapping")
    written = entry.get("format")
    if isinstance(written, int) and written != FORMAT:
        by = "an nlvideo before its first release" if written < FORMAT else f"nlvideo {entry.get('version')}"
        raise ValueError(
            f"checkpoint {path}: written by {by[:SHOWN]} in format {written}; this is nlvideo {nlvideo.__version__}, "
            f"which reads format {FORMAT}: use the one that wrote it, or train again"
        )
    damaged = [f"no {kind.__name__} {name}" for name, kind in RECORD.items() if not isinstance(entry.get(name), kind)]
    if not isinstance(state, dict) or not all(isinstance(weight, Tensor) for weight in state.values()):
        damaged.append("no state_dict of tensors")
    if damaged:
        raise ValueError(f"checkpoint {path}: damaged: it has {', '.join(damaged)}")
    return content


def load(path: str | Path, *, trusted_modules: Sequence[str] = ()) -> Backbone:
    """Return the network of a checkpoint, from the file alone, in eval mode.

    It has two more attributes: `class_names`, and `preprocessing`, how a clip was cut and normalised.

    Args:
        path: the checkpoint.
        trusted_modules: importable names of your own modules, if the network has blocks, a head or a class from there.
            Nothing else that the file names is imported or called.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no checkpoint that this nlvideo can read, or names a class of another module.
    """
    checkpoint = read(path)
    entry, classes = checkpoint["nlvideo"], known_classes(trusted_modules)
    given = entry["preprocessing"]
    if wrong := [name for name in PREPROCESSING if not isinstance(given.get(name, ...), PREPROCESSING[name])]:
        raise ValueError(f"checkpoint {path}: damaged: it has no valid preprocessing.{', '.join(wrong)}")
    try:
        net = rebuild(entry["net"], classes)
        net.load_state_dict(net_weights(checkpoint))
        if len(entry["class_names"]) != net.num_classes:
            raise ValueError(f"{len(entry['class_names'])} names for {net.num_classes} classes")
    except Exception as error:  # an option that is no more, a module of the user that has changed, a damaged record
        raise ValueError(
            f"checkpoint {path}: its network, of nlvideo {entry['version'][:SHOWN]}, cannot be built with nlvideo "
            f"{nlvideo.__version__}: {' '.join(str(error).split())[:400]}"
        ) from error
    net.class_names, net.preprocessing = entry["class_names"], entry["preprocessing"]
    return net.eval()


def build(config: dict[str, Any]) -> Backbone:
    """Return the network that a YAML node (class_path, init_args) describes.

    For the user's own configuration only: whatever it names is imported. A checkpoint's record goes through
    `nlvideo.checkpoint.rebuild`.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--net", type=Backbone)
    # A copy, since jsonargparse writes what it has read into mappings.
    return parser.instantiate(parser.parse_object({"net": copy.deepcopy(config)})).net


def check_same_network(net: Backbone, checkpoint: dict[str, Any], path: Path) -> None:
    """Raise ValueError if a checkpoint's network is another one than `net`; the message names the settings."""
    check_ours(checkpoint, path)
    if found := differences(checkpoint["nlvideo"]["net"], net.config(), "net"):
        raise ValueError(
            f"checkpoint {path} holds another network: {'; '.join(found)}. Use the configuration it was "
            f"trained with (-c {path.parent / 'config.yaml'}), or start from its weights: --model.init_from {path}"
        )


def net_weights(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """Return the weights of the network in one of our checkpoints, by the network's own names."""
    prefix = "net."
    state = checkpoint["state_dict"].items()
    return {name.removeprefix(prefix): weight for name, weight in state if name.startswith(prefix)}


def differences(there: Any, here: Any, key: str = "", *, may_differ: Collection[str] = ()) -> list[str]:
    """Return what differs between two nested settings: ``model.net.arch is c2d there and i3d here``.

    Args:
        key: under which both stand.
        may_differ: keys that are left out.
    """
    if key in may_differ or there == here:
        return []
    if isinstance(there, dict) and isinstance(here, dict):
        return [
            difference
            for name in sorted(there.keys() | here.keys(), key=str)
            for difference in differences(
                there.get(name), here.get(name), f"{key}.{name}".removeprefix("."), may_differ=may_differ
            )
        ]
    return [f"{key.replace('.init_args', '')} is {there} there and {here} here"]
