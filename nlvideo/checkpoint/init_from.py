"""``--model.init_from``: a network starts from the weights of another, of whatever codebase."""

import re
from pathlib import Path

from nlvideo.blocks import NonLocal
from nlvideo.checkpoint.convert import ExternalWeights, read_external
from nlvideo.checkpoint.files import read_file
from nlvideo.checkpoint.native import check_ours, is_ours, net_weights
from nlvideo.checkpoint.state_dict_matching import Transfer, match
from nlvideo.models import Backbone

SHOWN = 6  # modules of a line


def init_from(net: Backbone, path: str | Path) -> str:
    """Copies the weights of a file wherever names and shapes agree: a checkpoint of ours, or whatever `convert` reads.

    Image convolutions, and those of one frame, are repeated over time; batch norms are folded where the network has
    frozen affines.

    Returns:
        A few lines that say what was loaded, what is new in `net`, what was dropped and why, and which conventions of
        another codebase the network does not keep.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read, nothing in it fits, or it has frozen affines where `net` has batch norms.
    """
    content = read_file(path)
    foreign = None if is_ours(content) else read_external(content, path)
    weights = foreign.weights if foreign else net_weights(check_ours(content, path))
    try:
        transfer = match(weights, net.state_dict())
    except ValueError as error:
        raise ValueError(f"init_from {path}: {error}") from error
    if not transfer.loaded:
        raise ValueError(f"init_from {path}: no weight has a name and shape of this network; is it another one?")
    net.load_state_dict(transfer.loaded, strict=False)
    source = foreign.source.name if foreign else f"nlvideo {content['nlvideo']['version']}"
    return "\n".join([f"init_from {path} ({source})", *_summary(transfer), *(_notes(foreign, net) if foreign else [])])


def _summary(transfer: Transfer) -> list[str]:
    # A counter of batches is no weight; Caffe2 does not keep it, and a folded norm has none.
    new = [name for name in transfer.new if not name.endswith(".num_batches_tracked")]
    dropped = {_module(name): reason for name, reason in transfer.dropped.items()}
    how = [
        f"{len(changed)} {what}"
        for changed, what in ((transfer.inflated, "repeated over time"), (transfer.folded, "norms folded"))
        if changed
    ]
    return [
        f"  loaded   {len(transfer.loaded)} tensors" + (f" ({', '.join(how)})" if how else ""),
        f"  new      {len(new)} tensors{_listed([_module(name) for name in new])}",
        f"  dropped  {len(transfer.dropped)} tensors{_listed([f'{name} ({why})' for name, why in dropped.items()])}",
    ]


def _notes(foreign: ExternalWeights, net: Backbone) -> list[str]:
    source, images = foreign.source, foreign.weights["blocks.0.conv.weight"].ndim == 4
    here = net.config()["init_args"]
    there = {**source.net, **(source.images if images else {})}
    differing = [
        f"{name} {value} there, {here[name]} here"
        for name, value in there.items()
        if name in here and here[name] != value and not images
    ]
    block = next((module for module in net.modules() if isinstance(module, NonLocal)), None)
    if block is not None and any(".after." in name for name in foreign.weights):
        its = {
            "pairwise": block.pairwise,
            "pool_after_projection": block.pool_after_projection,
            "scale": block.scale != 1.0,
        }
        differing += [
            f"{name} {source.block_settings[name]} there, {value} here"
            for name, value in its.items()
            if source.block_settings[name] != value
        ]
    mean, std = source.normalisation
    return [
        *(
            [f"  differs  {'; '.join(differing)} (what is usual there; set yours alike to keep its numbers)"]
            * bool(differing)
        ),
        f"  pixels   were normalised with --model.mean '{mean}' --model.std '{std}'",
    ]


def _module(name: str) -> str:
    """A block as a whole, else the module of a parameter."""
    block = re.match(r".*\.(after|branch)(?=\.)", name)
    return block[0] if block else name.rpartition(".")[0]


def _listed(modules: list[str]) -> str:
    unique = list(dict.fromkeys(modules))
    shown = ", ".join(unique[:SHOWN]) + (f" and {len(unique) - SHOWN} more" if len(unique) > SHOWN else "")
    return f": {shown}" if unique else ""
