"""The base class of networks: what the rest of nlvideo asks of one."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from nlvideo.models.batch_norm import freeze_statistics
from nlvideo.models.inserts import Insert, named_inserts

Normalisation = tuple[float | list[float], float | list[float]]  # mean and standard deviation, of R, G and B in [0, 1]
GREY: Normalisation = (0.45, 0.225)
FreezeBN = Literal["none", "statistics", "affine"]


class Backbone(nn.Module):
    """Contract: a network maps clips, float and normalised [B, 3, T, H, W], to logits [B, num_classes].

    In training a head with auxiliary classifiers returns [B, L, num_classes]: the network's own logits first, then
    theirs. The loss is the sum over L.

    A subclass defines `forward`. Training, testing, counting and export work with no more; the other methods say what
    else can be done with the network.

    Args:
        num_classes: number of logits.
        init_args: the constructor arguments of the subclass (``locals()`` on its first line), with which a checkpoint
            builds the network again.
    """

    slides = False  # whether `scores` takes a `trained_crop`
    freeze_bn: FreezeBN = "none"  # set by networks that offer it, see `ResNet3d`
    wrapped = ""  # name of the child that is a whole model of another library, whose checkpoints have no such prefix

    def __init__(self, num_classes: int, init_args: dict[str, Any]):
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes: expected at least 1, got {num_classes}")
        self.num_classes = num_classes
        self._init_args = {name: value for name, value in init_args.items() if name not in ("self", "__class__")}

    def config(self) -> dict[str, Any]:
        """Return the network as its YAML node: class_path and init_args, plain values only."""
        return _class_node(type(self), self._init_args)

    def forward(self, video: Tensor) -> Tensor:
        """[B, 3, T, H, W] -> [B, num_classes]."""
        raise NotImplementedError

    def stages(self) -> dict[str, nn.Module]:
        """Return the parts of the network by name, in the order in which a clip goes through them.

        They are the rows of a table of costs, and the names that activation_checkpoint_stages takes.
        """
        return dict(self.named_children())

    def residual_blocks(self) -> dict[str, Sequence[nn.Module]]:
        """Return the residual blocks of each stage that consists of them, by the names of `stages`.

        They are compiled and recomputed one by one, other stages as a whole. A sweep over positions puts an attention
        block after each of them.
        """
        return {}

    def places(self, every: bool = False) -> dict[str, nn.Module]:
        """Return the modules after which `after` can put a block, by the text that its ``at`` takes for them.

        Args:
            every: those inside of residual blocks too, if the network can have blocks there.
        """
        stages = self.residual_blocks().items()
        return {f"{{{stage}: [{i}]}}": block for stage, blocks in stages for i, block in enumerate(blocks)}

    @property
    def inserts(self) -> dict[str, Insert]:
        """The kinds of blocks that stand at such places, by name."""
        return named_inserts(self._init_args.get("after", {}))

    def conv_norm_pairs(self) -> Mapping[type[nn.Module], Sequence[tuple[str, str]]]:
        """Return, for kinds of modules, the names of a convolution in it and of the batch norm behind.

        `inference_copy` folds the norm into the convolution, so nothing else may take the convolution's output.
        Attention blocks and ``nn.Sequential`` need no entry.
        """
        return {}

    @property
    def normalisation(self) -> Normalisation:
        """Mean and standard deviation of the pixels that the network takes, if the user gives no others."""
        return GREY

    @property
    def notes(self) -> list[str]:
        """Lines that tell the user what was decided for them."""
        return []

    def check_views(self, frames: int, side: int, trained_crop: int | None = None) -> None:
        """Raise ValueError if the network does not take square views of this size.

        Args:
            frames, side: of a view.
            trained_crop: see `scores`.
        """
        if trained_crop is not None and not self.slides:
            raise ValueError(
                f"{type(self).__name__} has no head that slides, as the protocols nln, slowfast and full ask; choose "
                "data.protocol mmaction or uniform"
            )

    def train(self, mode: bool = True) -> "Backbone":
        """Set the mode; statistics that `freeze_bn` keeps stay as they are in both."""
        super().train(mode)
        if self.freeze_bn == "statistics":
            freeze_statistics(self)
        return self

    @property
    def has_frozen_statistics(self) -> bool:
        """Whether training leaves the statistics of the batch norms as they are."""
        return self.freeze_bn != "none"

    def bare(self) -> "Backbone":
        """Return a new network of the same configuration without attention blocks, to compare costs with."""
        return type(self)(**self._init_args)

    def scores(self, video: Tensor, trained_crop: int | None = None) -> Tensor:
        """Return softmax scores in eval mode, float32 [B, num_classes].

        Args:
            video: [B, 3, T, H, W].
            trained_crop: side of the training crop in pixels, for fully convolutional testing: the head's window keeps
                the size that it had on such squares and slides over the map, see `Head.slide`.

        Raises:
            ValueError: the network has no head that slides.
        """
        Backbone.check_views(self, video.shape[2], video.shape[4], trained_crop)
        return self(video).float().softmax(dim=1)


def _class_node(cls: type, init_args: dict[str, Any]) -> dict[str, Any]:
    """Return a class and its arguments as a YAML node; defaults are written out, so that a record outlives them."""
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
        return (tuple if isinstance(value, tuple) else list)(map(_plain, value))
    if isinstance(value, Callable):
        raise ValueError(
            f"{value!r} cannot be written to a checkpoint: give a class or functools.partial of a class, not a function"
        )
    return value
