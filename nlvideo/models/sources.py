"""Models of other libraries: how they are found by name, and what is known of their clips.

A new library is one `Source` and its place in `SOURCES`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn
from torchvision.models import get_model_weights

from nlvideo.models.backbone import GREY, Normalisation
from nlvideo.suggest import did_you_mean
from nlvideo.user_modules import import_if_there

Builder = Callable[..., nn.Module]

DOWNLOADS = ("weights", "weights_backbone", "pretrained", "pretrained_cfg", "checkpoint_path")  # arguments of builders


def torchvision_pixels(builder: Builder) -> Normalisation:
    """Return mean and standard deviation of the clips that torchvision's weights of a network were trained with."""
    try:
        transforms = next(iter(get_model_weights(builder))).transforms()
    except ValueError:  # a class, or a network without published weights
        return GREY
    return list(transforms.mean), list(transforms.std)


@dataclass(frozen=True)
class Source:
    """Conventions of a library's models.

    Attributes:
        module: beginning of the name of the module that a builder is defined in.
        pixels: builder -> mean and standard deviation of its clips.
        alpha: frames of the fast pathway for each of the slow pathway; 1 is a network of one pathway.
    """

    module: str
    pixels: Callable[[Builder], Normalisation] = lambda builder: GREY
    alpha: int = 1


SOURCES = (
    Source("torchvision.models.", torchvision_pixels),
    Source("pytorchvideo.models.slowfast", alpha=4),
    Source("pytorchvideo.models.hub.slowfast", alpha=4),
)


def find_source(builder: Builder) -> Source:
    """Return the conventions of a builder's models; those of an unknown library are one pathway and `GREY`."""
    return next((source for source in SOURCES if builder.__module__.startswith(source.module)), Source(""))


def find_builder(path: str) -> Builder:
    """Import a callable that makes a model, such as ``torchvision.models.video.r3d_18``.

    Raises:
        ValueError: there is no such module, or nothing callable of that name in it.
    """
    module_name, _, name = path.rpartition(".")
    if not module_name:
        raise ValueError(f"model {path!r}: expected module.function, such as torchvision.models.video.r3d_18")
    module = import_if_there(module_name)
    if module is None:
        raise ValueError(
            f"model {path!r}: no module {module_name!r}; expected a function or class of an installed package, or of a "
            "file in this folder: my_net.make for make in my_net.py"
        )
    builder = getattr(module, name, None)
    if not callable(builder):
        near = did_you_mean(name, [each for each, value in vars(module).items() if callable(value)])
        raise ValueError(f"model {path!r}: nothing that can be called {name!r} in {module_name}{near}")
    return builder
