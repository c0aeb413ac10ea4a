"""``--model.init_from``: a network starts from the weights of another, of ours or of another codebase."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nlvideo.blocks import NonLocal
from nlvideo.checkpoint.external import ExternalWeights, read_external, unpack
from nlvideo.checkpoint.files import read_file
from nlvideo.checkpoint.native import check_ours, differences, is_ours, net_weights
from nlvideo.checkpoint.state_dict_matching import Transfer, match
from nlvideo.models import Backbone
from nlvideo.models.placed_blocks import block_places

SHOWN = 6  # modules in a line


def init_from(net: Backbone, path: str | Path) -> str:
    """Copy the weights of a file wherever names and shapes agree: of one of our checkpoints, or what `convert` reads.

    Image convolutions, and those of one frame, are repeated over time; batch norms are folded if the network has
    frozen affines.

    Returns:
        A few lines that say what was loaded, what is new in `net`, what was dropped and why, which conventions of
        another codebase the network does not keep, and which new blocks change at once what trained weights compute.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read, nothing in it fits, or it has frozen affines where `net` has batch norms.
    """
    content = read_file(path)
    try:
        external = None if is_ours(content) or net.wrapped else read_external(content)
        if is_ours(content):
            weights = net_weights(check_ours(content, path))
        else:
            weights = external.weights if external else _of_wrapped(net, content)
        transfer = match(weights, net.state_dict())
        if not transfer.loaded:
            raise ValueError("no weight has a name and shape of this network; is it another one?")
    except ValueError as error:
        raise ValueError(f"init_from {path}: {error}") from error
    net.load_state_dict(transfer.loaded, strict=False)
    if external:
        lines = [external.codebase.name, *_summary(transfer), *_notes(external, net)]
    else:
        by = f"nlvideo {content['nlvideo']['version']}" if is_ours(content) else "the model's own names"
        lines = [by, *_summary(transfer)]
    return "\n  ".join([f"init_from {path} ({lines[0]})", *lines[1:], *_hint(net, transfer)])


def _of_wrapped(net: Backbone, content: Any) -> dict[str, Tensor]:
    """Return the weights in a file of the library that a network's model is from, by our names."""
    theirs, _ = unpack(content)
    return {f"{net.wrapped}.{name}": weight for name, weight in theirs.items()}


def _summary(transfer: Transfer) -> list[str]:
    # A counter of batches is no weight; Caffe2 does not keep it, and a folded norm has none.
    new = [name for name in transfer.new if not name.endswith(".num_batches_tracked")]
    how = {"repeated over time": transfer.inflated, "norms folded": transfer.folded}
    changed = ", ".join(f"{len(names)} {what}" for what, names in how.items() if names)
    dropped = {_module(name): reason for name, reason in transfer.dropped.items()}
    return [
        f"loaded   {len(transfer.loaded)} tensors" + (f" ({changed})" if changed else ""),
        f"new      {len(new)} tensors{_listed(map(_module, new))}",
        f"dropped  {len(transfer.dropped)} tensors{_listed(f'{name} ({why})' for name, why in dropped.items())}",
    ]


def _notes(external: ExternalWeights, net: Backbone) -> list[str]:
    """Return lines on the conventions of the codebase: those that differ in `net`, and the pixels."""
    codebase, weights = external.codebase, external.weights
    differing = []
    if all(weight.ndim != 4 for weight in weights.values()):  # an image network is made another one anyway
        differing += _departures(codebase.net, net.config()["init_args"])
    block = next((module for module in net.modules() if isinstance(module, NonLocal)), None)
    if block is not None and any(".after." in name for name in weights):
        here = {"pairwise": block.pairwise, "pool_after_projection": block.pool_after_projection}
        differing += _departures(codebase.non_local_net, {**here, "scale": block.scale != 1.0})
    mean, std = codebase.normalisation
    pixels = f"pixels   were normalised with --model.mean '{mean}' --model.std '{std}'"
    if not differing:
        return [pixels]
    return [f"differs  {'; '.join(differing)} (what is usual there; set yours alike to keep its numbers)", pixels]


def _hint(net: nn.Module, transfer: Transfer) -> list[str]:
    """Return a line that names the new blocks that do not start as the identity, if there are any."""
    places = {
        place: net.get_submodule(path)
        for place, path in block_places(net).items()
        if not any(name.startswith(f"{path}.") for name in transfer.loaded)
    }
    loud = {place: block for place, block in places.items() if not block.is_identity()}
    if not loud:
        return []
    how = "; NonLocal does not with init_scale 0" if any(isinstance(b, NonLocal) for b in loud.values()) else ""
    what = "new blocks change the trained network from the first step"
    return [f"hint     {what}{_listed(loud)}{how} (docs/training.md)"]


def _departures(conventions: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    return differences(
        {name: value for name, value in conventions.items() if name in settings},
        {name: settings[name] for name in conventions if name in settings},
    )


def _module(name: str) -> str:
    """Return the module of a parameter; for a block's, the block."""
    block = re.match(r".*\.(after|branch|inserted)(?=\.)", name)
    return block[0] if block else name.rpartition(".")[0]


def _listed(modules: Iterable[str]) -> str:
    unique = list(dict.fromkeys(modules))
    more = f" and {len(unique) - SHOWN} more" if len(unique) > SHOWN else ""
    return f": {', '.join(unique[:SHOWN])}{more}" if unique else ""
