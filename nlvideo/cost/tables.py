"""Tables of what networks cost, for the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table

from nlvideo.checkpoint import build
from nlvideo.cost.count import Cost, StageCost, count_parts, total
from nlvideo.cost.published import REFERENCE_COSTS, ReferenceCost
from nlvideo.cost.published_libraries import LIBRARY_COSTS, LibraryCost
from nlvideo.models import Backbone

NUMBERS = ("params M", "GMACs", "computed", "GiB", "explicit")
NOTES = (
    "GMACs: of one clip, as papers count: attention with the N x M matrix, and two for each output of a norm (as "
    "fvcore). computed: the same with attention as nlvideo computes it. GiB: what a training step keeps from the "
    "forward to the backward pass, of its whole batch in float32 (mixed precision: about half). explicit: that with "
    "the N x M matrix. ×: relative to {base}."
)


@dataclass(frozen=True)
class NetworkSpec:
    """A network, its clip (T, H, W) and its training batch."""

    net: Backbone
    clip: tuple[int, int, int]
    batch: int

    @classmethod
    def of(cls, config: dict[str, Any]) -> "NetworkSpec":
        """Return what a run with this configuration (see `nlvideo.configuration`) would train, its network on meta.

        Raise ValueError if the network cannot be built.
        """
        data = config["data"]
        with torch.device("meta"):
            net = build(config["model"]["net"])
        return cls(net, (data["clip_frames"], data["crop_size"], data["crop_size"]), data["batch_size"])

    def parts(self) -> tuple[list[StageCost], list[StageCost]]:
        """Count the stages of the network, and of the same without blocks, on copies on meta."""
        with torch.device("meta"):
            net = build(self.net.config())
            bare = net.bare()
        return count_parts(net, self.clip, self.batch), count_parts(bare, self.clip, self.batch)


def stage_table(spec: NetworkSpec) -> Table:
    """Return a table with a row for each stage, and their sum."""
    parts, bare = spec.parts()
    table = _table(("stage", "T x H x W", "blocks"), "the same network without blocks")
    table.title = f"{spec.batch} clips of {_map(spec.clip)}, {spec.net.num_classes} classes"
    for part, base in zip(parts, bare, strict=True):
        table.add_row(part.name, _map(part.output), _names(part.blocks), *_numbers(part.cost, base.cost))
    table.add_section()
    whole, base = total("all", parts), total("without blocks", bare)
    table.add_row(whole.name, "", _names(whole.blocks), *_numbers(whole.cost, base.cost))
    table.add_row(base.name, "", "", *_numbers(base.cost, base.cost))
    return table


def comparison_table(specs: dict[str, NetworkSpec]) -> Table:
    """Return a table with a row for each network."""
    first, *_ = specs
    table = _table(("network", "clips", "blocks"), first)
    wholes = {name: total(name, spec.parts()[0]) for name, spec in specs.items()}
    for name, whole in wholes.items():
        clips = f"{specs[name].batch} of {_map(specs[name].clip)}"
        table.add_row(name, clips, _names(whole.blocks), *_numbers(whole.cost, wholes[first].cost))
    return table


def published_tables() -> list[Table]:
    """Return our counts beside the published ones; see `nlvideo.cost.published` and `published_libraries`."""
    libraries = _published("Networks of torchvision and pytorchvideo", LIBRARY_COSTS)
    libraries.caption = (
        "In the source's convention: torchvision, Slow 8x8 and SlowFast 8x8 count no batch norms, the other lines five "
        "multiply-adds for each output of one. Everywhere else nlvideo counts two, as fvcore does in eval mode."
    )
    libraries.caption_justify = "left"
    return [_published("Reference architectures", REFERENCE_COSTS), libraries]


def _published(title: str, costs: Sequence[ReferenceCost | LibraryCost]) -> Table:
    lines = Table("network", "params M", "published", "GMACs", "published", "off by", title=title)
    for line in costs:
        gmacs, params = line.count()
        published = "" if line.params is None else f"{line.params:.2f}"
        off = f"{100 * (gmacs / line.gmacs - 1):+.2f} %"
        lines.add_row(line.name, f"{params:.2f}", published, f"{gmacs:.2f}", f"{line.gmacs:.2f}", off)
    return lines


def _table(columns: Sequence[str], base: str) -> Table:
    table = Table(caption=NOTES.format(base=base), caption_justify="left")
    for name in columns:
        table.add_column(name, no_wrap=True, min_width=6)
    for name in NUMBERS:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _numbers(cost: Cost, base: Cost) -> list[str]:
    def cell(value: float, base: float) -> str:
        shown = f"{value:.2f}" if value >= 1 else f"{value:.3f}"
        return shown if value == base or not base else f"{shown} ×{value / base:.2f}"

    def values(cost: Cost) -> tuple[float, ...]:
        memory = cost.kept_bytes / 2**30, cost.explicit_bytes / 2**30
        return cost.params / 1e6, cost.gmacs, cost.computed_gmacs, *memory

    return [cell(*pair) for pair in zip(values(cost), values(base), strict=True)]


def _map(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))


def _names(blocks: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in blocks.items())
