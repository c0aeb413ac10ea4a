"""The last linear layer of a model of another library: found, and replaced by one for other classes."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from nlvideo.models.head import Classifier

ACTIVATIONS = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid)


def find_classifier(model: nn.Module, called: Iterable[str]) -> str:
    """Return the path of the linear layer or 1x1x1 convolution that is called last.

    Args:
        model: the model.
        called: paths of its modules in the order of their calls.

    Raises:
        ValueError: there is none.
    """
    linear = [path for path in called if _num_outputs(model.get_submodule(path)) is not None]
    if not linear:
        raise ValueError("the model calls no linear layer and no 1x1x1 convolution: where are its logits made?")
    return linear[-1]


def replace_classifier(model: nn.Module, path: str, outputs: Mapping[str, list[Any]], num_classes: int) -> list[str]:
    """Give a model a classifier of `num_classes` outputs, in place, and take out a softmax behind it.

    Args:
        model: the model.
        path: of its classifier.
        outputs: of all its modules, see `dry_run`.
        num_classes: K.

    Returns:
        Lines that say what was done.

    Raises:
        ValueError: there is no linear layer of this path, or the model does not put out [B, K] behind it.
    """
    found = dict(model.named_modules()).get(path)
    before = _num_outputs(found)
    if before is None:
        linear = [name for name, module in model.named_modules() if _num_outputs(module) is not None]
        raise ValueError(
            f"classifier {path!r}: no linear layer or 1x1x1 convolution; expected one such as {linear[-1]}"
        )
    (logits,) = outputs[""]
    if not isinstance(logits, Tensor) or tuple(logits.shape[1:]) != (before,):
        shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"the model puts out {shape} and its last linear layer, {path}, has {before} outputs; expected logits "
            f"[B, {before}]. Name the classifier, or change the model's kwargs"
        )
    notes = []
    model.set_submodule(path, _classifier(found, num_classes))
    if before != num_classes:
        notes.append(f"classifier {path}: new, {num_classes} classes in place of {before}")
    order = list(outputs)
    for name in order[order.index(path) + 1 :]:
        if isinstance(model.get_submodule(name), ACTIVATIONS):
            notes.append(f"{type(model.get_submodule(name)).__name__} {name}: taken out, the loss takes logits")
            model.set_submodule(name, nn.Identity())
    return notes


def _classifier(found: nn.Module, num_classes: int) -> nn.Module:
    """Return a layer in place of another, with its weights if it has as many outputs."""
    has_bias, like = found.bias is not None, found.weight
    if isinstance(found, nn.Linear):
        made = Classifier(found.in_features, num_classes, bias=has_bias, device=like.device, dtype=like.dtype)
    else:
        made = nn.Conv3d(found.in_channels, num_classes, 1, bias=has_bias, device=like.device, dtype=like.dtype)
    if _num_outputs(found) == num_classes and not like.is_meta:
        made.load_state_dict(found.state_dict())
    return made


def _num_outputs(module: nn.Module | None) -> int | None:
    if isinstance(module, nn.Linear):
        return module.out_features
    if isinstance(module, nn.Conv3d) and module.kernel_size == (1, 1, 1) and module.groups == 1:
        return module.out_channels
    return None
