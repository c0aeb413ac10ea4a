"""Any video model as a backbone, from torchvision, pytorchvideo or the user's own file, with attention blocks in it.

Shapes: B clips, T frames, H x W pixels, K classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pytorchvideo.models.resnet import BottleneckBlock, ResBlock
from pytorchvideo.models.stem import ResNetBasicStem
from torch import Tensor, nn

from nlvideo.blocks.base import check_choice
from nlvideo.models.backbone import Backbone, FreezeBN, Normalisation
from nlvideo.models.batch_norm import freeze_batch_norms
from nlvideo.models.classifier_layer import find_classifier, replace_classifier
from nlvideo.models.dry_run import REFUSED, dry_run, map_shape
from nlvideo.models.insert import insert_blocks
from nlvideo.models.inserts import Insert, named_inserts
from nlvideo.models.module_paths import nearest_paths, residual_units, resolve_paths, stage_paths, unit_paths
from nlvideo.models.sources import DOWNLOADS, find_builder, find_source

DRY_RUN_CLIPS = ((16, 224, 224), (32, 224, 224))  # T, H, W; the first that a model takes


class AnyModel(Backbone):
    """A model of another library or of your own, with attention blocks after any of its modules.

    Its parameters are ``model.*``, in the model's own names; those of a block are below the module that it stands
    after, ``model.layer3.1.inserted.*``. So files of the library load with ``init_from`` as they are.

    Args:
        model: a callable that makes an ``nn.Module`` from clips [B, 3, T, H, W] to logits, by its path:
            ``torchvision.models.video.r3d_18``, ``pytorchvideo.models.hub.slow_r50``, or ``my_net.make`` of a file
            my_net.py in this folder.
        num_classes: K. The last linear layer is replaced by one of K outputs, and a softmax behind it taken out.
        kwargs: arguments of the callable.
        classifier: path of the last linear layer or 1x1x1 convolution; null finds it.
        alpha: frames of the fast pathway for each of the slow pathway, for networks that take both (SlowFast,
            Feichtenhofer et al. 2019); 1 is one pathway. null is 4 for pytorchvideo's SlowFast, else 1.
        input_size: T, H, W of a clip that the model takes, to try it with on the device meta; null tries 16 and 32
            frames of 224 x 224.
        freeze_bn: see `ResNet3d`.
        after: attention blocks after modules: kinds of blocks by names of your choice. For ``at`` see
            `nlvideo.models.module_paths`: paths, patterns, {layer3: 1}, {each: layer3}; ``nlvideo places`` lists them.

    Raises:
        ValueError: there is no such callable, it makes no model of clips, or a block cannot stand where it should.
    """

    wrapped = "model"

    def __init__(
        self,
        model: str,
        num_classes: int = 400,
        *,
        kwargs: dict[str, Any] = {},  # noqa: B006 (never changed; jsonargparse takes no read-only mapping)
        classifier: str | None = None,
        alpha: int | None = None,
        input_size: list[int] | None = None,
        freeze_bn: FreezeBN = "none",
        after: dict[str, Insert] = {},  # noqa: B006
    ):
        after = named_inserts(after)
        super().__init__(num_classes, {**locals(), "kwargs": _without_downloads(kwargs)})
        check_choice("freeze_bn", freeze_bn, FreezeBN)
        builder = find_builder(model)
        self._source = find_source(builder)
        self._normalisation = self._source.pixels(builder)
        self.alpha = self._source.alpha if alpha is None else alpha
        if self.alpha < 1:
            raise ValueError(f"alpha: expected at least 1, got {alpha}")
        self.model = _make(builder, model, kwargs)
        outputs, self._clip = self._try_out(model, input_size)
        self._notes = replace_classifier(
            self.model, classifier or find_classifier(self.model, outputs), outputs, num_classes
        )
        self._insert(after, outputs)
        self.freeze_bn = freeze_bn
        if freeze_bn == "affine":
            freeze_batch_norms(self)
        self.train()

    def forward(self, video: Tensor) -> Tensor:
        """[B, 3, T, H, W] -> [B, K]."""
        return self.model(video if self.alpha == 1 else _pathways(video, self.alpha))

    def stages(self) -> dict[str, nn.Module]:
        return dict(stage_paths(self.model))

    def residual_blocks(self) -> dict[str, Sequence[nn.Module]]:
        found = {name: list(residual_units(stage).values()) for name, stage in self.stages().items()}
        return {name: blocks for name, blocks in found.items() if blocks}

    def conv_norm_pairs(self) -> Mapping[type[nn.Module], Sequence[tuple[str, str]]]:
        return {
            ResNetBasicStem: [("conv", "norm")],
            BottleneckBlock: [("conv_a", "norm_a"), ("conv_b", "norm_b"), ("conv_c", "norm_c")],
            ResBlock: [("branch1_conv", "branch1_norm")],
        }

    @property
    def normalisation(self) -> Normalisation:
        return self._normalisation

    @property
    def notes(self) -> list[str]:
        return self._notes

    def bare(self) -> "AnyModel":
        return type(self)(**{**self._init_args, "after": {}})

    def places(self, every: bool = False) -> dict[str, nn.Module]:
        modules = dict(self.model.named_modules())
        if every:
            return {path: module for path, module in modules.items() if path}
        return {path: modules[path] for stage, module in self.stages().items() for path in unit_paths(module, stage)}

    def check_views(self, frames: int, side: int, trained_crop: int | None = None) -> None:
        super().check_views(frames, side, trained_crop)
        try:
            dry_run(self, (2, 3, frames, side, side))
        except REFUSED as error:
            raise ValueError(
                f"{self._init_args['model']} does not take {frames} frames of {side} x {side} pixels "
                f"({_reason(error)}); set data.clip_frames, data.crop_size or the model's own kwargs"
            ) from error

    def _outputs(self, clip: Sequence[int]) -> dict[str, list[Any]]:
        """Return what the modules of the model put out, by their paths in it."""
        outputs = dry_run(self, (2, 3, *clip))
        return {path.removeprefix(self.wrapped).removeprefix("."): each for path, each in outputs.items() if path}

    def _try_out(self, name: str, size: Sequence[int] | None) -> tuple[dict[str, list[Any]], Sequence[int]]:
        tried = [size] if size else DRY_RUN_CLIPS
        for clip in tried:
            try:
                return self._outputs(clip), clip
            except REFUSED as error:
                refused = error
        sizes = " and ".join(" x ".join(map(str, clip)) for clip in tried)
        raise ValueError(
            f"{name}: takes no clips of {sizes} ({_reason(refused)}); give input_size [T, H, W] that it takes, "
            "or alpha if it has two pathways"
        ) from refused

    def _insert(self, after: Mapping[str, Insert], outputs: Mapping[str, list[Any]]) -> None:
        shapes = {path: map_shape(each) for path, each in outputs.items()}
        for insert in after.values():
            for path in resolve_paths(insert.at, self.model):
                if shapes.get(path) is None:
                    maps = [each for each, shape in shapes.items() if shape is not None]
                    raise ValueError(
                        f"placement {path}: {_instead(outputs.get(path))}, where a block takes a map [B, C, T, H, W]; "
                        f"the nearest modules with one are {nearest_paths(path, maps)}"
                    )
                insert_blocks(self.model, {path: insert.block(shapes[path][0])})


def _without_downloads(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments for a checkpoint's record, which builds a network for the weights that the checkpoint has."""
    return {name: value for name, value in kwargs.items() if name not in DOWNLOADS}


def _make(builder: Any, name: str, kwargs: Mapping[str, Any]) -> nn.Module:
    try:
        made = builder(**kwargs)
    except TypeError as error:
        raise ValueError(f"{name}: kwargs {kwargs}: {error}") from error
    if not isinstance(made, nn.Module):
        raise ValueError(f"{name}: gives a {type(made).__name__}; expected an nn.Module")
    return made


def _pathways(video: Tensor, alpha: int) -> list[Tensor]:
    """Return the clips of the slow and of the fast pathway, as pytorchvideo and PySlowFast cut them."""
    frames = video.shape[2]
    slow = torch.linspace(0, frames - 1, max(frames // alpha, 1), device=video.device).long()
    return [video.index_select(2, slow), video]


def _instead(outputs: list[Any] | None) -> str:
    if not outputs:
        return "the model does not call it"
    kinds = [f"{list(each.shape)}" if isinstance(each, Tensor) else f"a {type(each).__name__}" for each in outputs]
    return f"puts out {' and '.join(dict.fromkeys(kinds))}"


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
