"""Where the positions of a block's map lie in the clip: exact through every stride, padding and pooling.

::

    frames of the clip     0   1   2   3   4   5   6   7      stride 2, centre of the first position 0.5:
    positions of the map   |<- 0 ->|<- 1 ->|<- 2 ->|<- 3 ->|      position i lies at 0.5 + 2 i

Shapes: T frames, H x W pixels or positions.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nlvideo.blocks import Block

Triple = tuple[float, float, float]

WINDOWS = (nn.Conv3d, nn.MaxPool3d, nn.AvgPool3d)
SHORTCUTS = ("branch1", "downsample")  # parallel to a residual branch, with the same stride


@dataclass(frozen=True)
class Grid:
    """Positions of a map, in frames and pixels of the clip.

    Attributes:
        first: centre of position (0, 0, 0): frame, row, column.
        step: from one position to the next.
        size: number of positions: T, H, W.
    """

    first: Triple
    step: Triple
    size: tuple[int, int, int]

    def window(self, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> tuple[Triple, Triple]:
        """Return `first` and `step` of the map behind a convolution or pooling of this one."""
        first = tuple(
            f + s * ((k - 1) / 2 - p) for f, s, k, p in zip(self.first, self.step, kernel, padding, strict=True)
        )
        return first, tuple(s * by for s, by in zip(self.step, stride, strict=True))

    def pooled(self, size: Sequence[int]) -> "Grid":
        """Return the grid of keys that are max-pooled to `size` with windows as large as their stride."""
        kernel = [max(n // m, 1) for n, m in zip(self.size, size, strict=True)]
        first, step = self.window(kernel, kernel, (0, 0, 0))
        return Grid(first, step, tuple(size))

    def centre(self, position: Sequence[int]) -> Triple:
        """Return the frame, row and column of a position (t, y, x), in frames and pixels of the clip."""
        return tuple(f + s * i for f, s, i in zip(self.first, self.step, position, strict=True))

    def nearest(self, point: Sequence[float]) -> tuple[int, int, int]:
        """Return the position (t, y, x) whose centre is nearest to a frame, row and column of the clip."""
        return tuple(
            min(max(round((p - f) / s), 0), n - 1)
            for p, f, s, n in zip(point, self.first, self.step, self.size, strict=True)
        )


def block_grids(net: nn.Module, clip: Sequence[int]) -> dict[str, Grid]:
    """Return the grid of the map that each attention block of a network takes, by module path.

    A dry run on meta: the convolutions and poolings that a clip goes through are composed, shortcuts left out.

    Args:
        net: the network; not changed.
        clip: T, H, W of the clip.

    Raises:
        ValueError: the sizes of the maps are not those of a chain of convolutions and poolings, as in a network with
            several pathways.
    """
    grids: dict[str, Grid] = {}
    state = {"grid": Grid((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), tuple(clip)), "inside": 0}

    def pass_window(module: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
        if state["inside"]:
            return
        if args[0].shape[2:] != state["grid"].size:
            raise ValueError(
                "attention can't be put back to pixels: the network is no chain of convolutions and poolings; a "
                f"{type(module).__name__} takes a map of {tuple(args[0].shape[2:])}, the one before gave "
                f"{state['grid'].size}"
            )
        first, step = state["grid"].window(*(_triple(getattr(module, n)) for n in ("kernel_size", "stride", "padding")))
        state["grid"] = Grid(first, step, tuple(output.shape[2:]))

    def enter(path: str) -> Callable:
        def hook(module: nn.Module, args: tuple[Tensor]) -> None:
            grids[path] = state["grid"]  # of a block within a block too, as DualAttention has them
            state["inside"] += 1

        return hook

    def skip(module: nn.Module, args: tuple) -> None:
        state["inside"] += 1

    def leave(module: nn.Module, args: tuple, output: Tensor) -> None:
        state["inside"] -= 1

    weights = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    with ExitStack() as hooks, torch.no_grad():
        for path, module in net.named_modules():
            if isinstance(module, Block):
                hooks.enter_context(module.register_forward_pre_hook(enter(path)))
                hooks.enter_context(module.register_forward_hook(leave))
            elif any(name.startswith(SHORTCUTS) for name in path.split(".")[-1:]):
                hooks.enter_context(module.register_forward_pre_hook(skip))
                hooks.enter_context(module.register_forward_hook(leave))
            elif isinstance(module, WINDOWS):
                hooks.enter_context(module.register_forward_hook(pass_window, prepend=True))
        on_meta = {name: weight.to("meta") for name, weight in weights.items()}
        torch.func.functional_call(net, on_meta, (torch.empty(1, 3, *clip, device="meta"),))
    return grids


def _triple(value: int | Sequence[int]) -> Sequence[int]:
    return (value,) * 3 if isinstance(value, int) else value
