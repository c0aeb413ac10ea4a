"""The places of a network where attention blocks can stand, and what a block costs at each."""

import torch
from rich.table import Table

from nlvideo.cost.count import count_block
from nlvideo.cost.tables import NetworkSpec
from nlvideo.models import Insert
from nlvideo.models.dry_run import dry_run, map_shape


def place_table(spec: NetworkSpec, *, every: bool = False) -> Table:
    """Return a row for each place: what ``at`` takes, the map there, and the cost of the configured block.

    Args:
        spec: the network, whose first kind of blocks is counted, and its clip.
        every: modules inside of residual blocks too.
    """
    insert = next(iter(spec.net.inserts.values()), Insert())
    with torch.device("meta"):
        bare = spec.net.bare()
        outputs = dry_run(bare, (1, 3, *spec.clip))
    paths = {module: path for path, module in bare.named_modules()}
    table = Table(title=f"places for a block, clips of {' x '.join(map(str, spec.clip))}")
    table.add_column("at", overflow="fold")
    table.add_column("module", overflow="fold")
    for name in ("C", "T x H x W", "positions"):
        table.add_column(name, justify="right", no_wrap=True)
    name, rows = type(insert.block).__name__, []
    for place, module in bare.places(every).items():
        shape = map_shape(outputs.get(paths[module], []))
        if shape is None:
            continue
        with torch.device("meta"):
            block = insert.block(shape[0])
        name, cost = type(block).__name__, count_block(block, shape)
        size = " x ".join(map(str, shape[1:]))
        positions = shape[1] * shape[2] * shape[3]
        numbers = f"{shape[0]:,}", size, f"{positions:,}", f"{cost.params / 1e6:.3f}", f"{cost.gmacs:.3f}"
        rows.append((place, type(module).__name__, *numbers))
    for unit in ("params M", "GMACs"):
        table.add_column(f"{name} {unit}", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table
