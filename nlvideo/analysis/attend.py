"""Write what the attention blocks of a network draw on in a clip: pictures, and the numbers behind them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nlvideo.analysis import figures
from nlvideo.analysis.clip import Clip, normalized
from nlvideo.analysis.geometry import Triple
from nlvideo.analysis.maps import AttentionMap, attention_maps, channel_weights, choose_blocks
from nlvideo.files import replacing, write_json
from nlvideo.models import Backbone

LISTED = 20  # strongest positions of a query in attention.json


def attend(
    net: Backbone,
    clip: Clip,
    output: Path,
    blocks: Sequence[str] | None,
    queries: Sequence[Triple] | None,
    num_queries: int,
    about: dict[str, Any],
) -> str:
    """Write maps and pictures of each block to a folder; return a line on what was found and written."""
    chosen = choose_blocks(net, blocks)
    tensor = normalized(net, clip)
    with torch.no_grad():
        scores = net.scores(tensor)[0]  # (K)
    label = int(scores.argmax())
    found, arrays = {}, {}
    for name, path in chosen.items():
        gates = channel_weights(net, tensor, path)
        if gates is not None:
            arrays[f"{name}/gates"] = gates.numpy()
            figures.save_gates(gates.numpy(), name, output / f"{name}_gates.png")
            continue
        maps = attention_maps(net, tensor, blocks=[name], queries=queries, num_queries=num_queries, label=label)
        found[name] = [_described(attention, clip) for attention in maps]
        arrays[f"{name}/queries"] = np.array([attention.query for attention in maps])
        arrays[f"{name}/weights"] = np.stack([attention.weights.numpy() for attention in maps])
        _draw(net, tensor, name, maps, clip, output)
    with replacing(output / "attention.npz") as partial_file:
        np.savez_compressed(partial_file, **arrays)
    result = {
        "video": str(about["video"]),
        "ckpt_path": str(about["ckpt_path"]),
        "prediction": {"class": net.class_names[label], "score": float(scores[label])},
        "frames": clip.numbers,
        "blocks": found,
    }
    write_json(output / "attention.json", result)
    return (
        f"{net.class_names[label]} ({100 * scores[label]:.1f} %); {', '.join(chosen)}: pictures, attention.json and "
        f"attention.npz in {output}"
    )


def _described(attention: AttentionMap, clip: Clip) -> dict[str, Any]:
    return {
        "query": {"position": list(attention.query), "clip": list(attention.point), **clip.in_video(attention.point)},
        "strongest": [
            {"weight": weight, "clip": list(point), **clip.in_video(point)}
            for weight, point in attention.strongest(LISTED)
        ],
    }


def _draw(net: Backbone, tensor: Tensor, name: str, maps: list[AttentionMap], clip: Clip, output: Path) -> None:
    for i, attention in enumerate(maps):
        figures.save_arrows(attention, clip.frames, output / f"{name}_query{i}.png")
    figures.save_strips(maps, clip.frames, output / f"{name}_strips.png")
    first, grid = maps[0], maps[0].query_grid
    through_time = [grid.centre((t, *first.query[1:])) for t in range(grid.size[0])]
    moving = attention_maps(net, tensor, blocks=[first.block], queries=through_time)
    figures.save_animation(moving, clip.frames, output / f"{name}_time.gif")
