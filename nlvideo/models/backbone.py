"""What the task and the command line ask of a network."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn


class Backbone(nn.Module):
    """A network for clips: float, normalised [B, C, T, H, W] -> logits [B, num_classes].

    In training a head with auxiliary classifiers gives [B, L, num_classes]: its own logits first, then theirs. The
    loss is the sum over L.

    Args:
        num_classes: number of logits.
        init_args: the subclass's constructor arguments (`locals()` on its first line): with them a checkpoint can
            build the network again.
    """

    def __init__(self, num_classes: int, init_args: dict[str, Any]):
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes: expected at least 1, got {num_classes}")
        self.num_classes = num_classes
        self._init_args = {name: value for name, value in init_args.items() if name not in ("self", "__class__")}

    def config(self) -> dict[str, Any]:
        """This network as its YAML node: class_path and init_args, plain values only."""
        return _class_node(type(self), self._init_args)

    def stages(self) -> dict[str, nn.Module]:
        """Its parts by name, in the order in which a clip goes through them: the rows of a table of costs."""
        return dict(self.named_children())

    def residual_blocks(self) -> dict[str, Sequence[nn.Module]]:
        """Return the residual blocks of each stage that is made of them, by the names of `stages`.

        A stage that is missing is compiled, recomputed and counted as one piece.
        """
        return {}

    def bare(self) -> "Backbone":
        """The same network, newly made, without blocks: what a table of costs compares it with. To be overridden where
        the constructor places blocks."""
        return type(self)(**self._init_args)

    def forward(self, video: Tensor) -> Tensor:
        raise NotImplementedError

    def scores(self, video: Tensor, trained_crop: int | None = None) -> Tensor:
        """Softmax scores in eval mode, float32 [B, num_classes].

        Args:
            video: as in `forward`.
            trained_crop: where given, the network is fully convolutional: its last mean keeps the size that it had on
                squares of so many pixels, see `Head.slide`. To be overridden where the network can do so.
        """
        if trained_crop is not None:
            raise ValueError(
                f"{type(self).__name__} has no head that slides, as the protocols nln, slowfast and full ask; choose "
                "data.protocol mmaction or uniform"
            )
        return self(video).float().softmax(dim=1)


def _class_node(cls: type, init_args: dict[str, Any]) -> dict[str, Any]:
    """Defaults are written out: a record stays true when they change."""
    parameters = inspect.signature(cls).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.default is not inspect.Parameter.empty}
    return {
        "class_path": f"{cls.__module__}.{cls.__qualname__}",
        "init_args": {name: _plain(value) for name, value in {**defaults, **init_args}.items()},
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if inspect.isclass(value):
        return _class_node(value, {})
    if isinstance(value, functools.partial):
        # jsonargparse builds a block's factory as partial(instantiate, cls, **init_args).
        cls = next(part for part in (value.func, *value.args) if inspect.isclass(part))
        return _class_node(cls, value.keywords)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Callable):
        raise ValueError(
            f"{value!r} cannot be written to a checkpoint: give a class or functools.partial of a class, not a function"
        )
    return value
