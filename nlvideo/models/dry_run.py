"""A dry run of a model on the device meta: what each module puts out, without memory or arithmetic."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

# What models raise that do not take an input.
REFUSED = (RuntimeError, ValueError, TypeError, NotImplementedError, AssertionError, IndexError)


def dry_run(model: nn.Module, input_shape: Sequence[int]) -> dict[str, list[Any]]:
    """Return the outputs of each module at each of its calls, by module path, in the order of their first ends.

    Args:
        model: not changed; in training and eval mode.
        input_shape: of a batch.

    Raises:
        one of `REFUSED`: the model does not take such an input.
    """
    outputs: dict[str, list[Any]] = {}
    weights = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    on_meta = {name: weight.to("meta") for name, weight in weights.items()}
    example = torch.empty(tuple(input_shape), device="meta", dtype=next(model.parameters()).dtype)
    with ExitStack() as hooks, torch.no_grad():
        for path, module in model.named_modules():
            hook = lambda module, args, output, path=path: outputs.setdefault(path, []).append(output)  # noqa: E731
            hooks.enter_context(module.register_forward_hook(hook))
        torch.func.functional_call(model, on_meta, (example,))
    return outputs


def map_shape(outputs: Sequence[Any]) -> tuple[int, ...] | None:
    """Return C, T, H, W of a module whose output is always one such map, else None."""
    shapes = {tuple(each.shape[1:]) if isinstance(each, Tensor) and each.ndim == 5 else None for each in outputs}
    return shapes.pop() if len(shapes) == 1 else None
