"""Insertion of attention blocks into any torch model, by module path."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from nlvideo.blocks import Block
from nlvideo.models.dry_run import REFUSED, dry_run
from nlvideo.models.module_paths import nearest_paths

INSERTED = "inserted"  # name of a block below the module that it stands after

# A batch of two for the dry run, by the model's first convolution: sequences, images, clips. On meta, size is free.
DRY_RUN_SIZES = {nn.Conv1d: (256,), nn.Conv2d: (224, 224), nn.Conv3d: (16, 224, 224)}


def insert_blocks(
    model: nn.Module, at: Mapping[str, Callable[[int], Block] | Block], *, input_shape: Sequence[int] | None = None
) -> nn.Module:
    """Insert attention blocks after modules of a model: ``insert_blocks(r3d_18(), {"layer3.1": NonLocal})``.

    The output of ``layer3.1`` then goes through the block. The block becomes the child ``inserted`` of the module, so
    its parameters are ``layer3.1.inserted.*`` and all others keep their names: checkpoints of the model load with
    ``strict=False``, before or after. A forward hook without state calls it, so copies, pickles, torch.compile and
    data-parallel training treat it as any other child. After an ``nn.Sequential`` means after the last of its children.

    Args:
        model: changed in place.
        at: by module path as in ``model.named_modules()``: a Block class or another factory that takes the number of
            channels, or a block.
        input_shape: of a batch, for a dry run on meta that finds the number of channels. None: guessed from the first
            convolution.

    Returns:
        The model.

    Raises:
        ValueError: a path does not exist (the message lists the nearest ones), has a block already, or names a module
            whose output is not one tensor with the same channels at each call.
    """
    modules = {path: _module_at(model, path) for path in at}
    if len(set(modules.values())) < len(modules):
        raise ValueError(f"insert_blocks: two of {', '.join(at)} are the same place; name it once")
    factories = [path for path, block in at.items() if not isinstance(block, nn.Module)]
    channels = _channels_of(model, {path: modules[path] for path in factories}, input_shape) if factories else {}
    like = next(model.parameters())
    for path, module in modules.items():
        block = at[path](channels[path]) if path in channels else at[path]
        block.to(like.device, like.dtype).train(module.training)
        module.add_module(INSERTED, block)
        module.register_forward_hook(_run_inserted)
    return model


def _run_inserted(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
    return module.get_submodule(INSERTED)(output)


def _module_at(model: nn.Module, path: str) -> nn.Module:
    modules = dict(model.named_modules())
    if path not in modules:
        raise ValueError(f"insert_blocks: no module {path!r}; the nearest are {nearest_paths(path, modules)}")
    module = modules[path]
    while isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        module = module[-1]
    if INSERTED in dict(module.named_children()):
        raise ValueError(f"insert_blocks: {path!r} has a block already; choose another module")
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        raise ValueError(
            f"insert_blocks: {path!r} is a {type(module).__name__}, which would run the block as one of its children; "
            "choose a module in it or behind it"
        )
    return module


def _channels_of(model: nn.Module, paths: dict[str, nn.Module], input_shape: Sequence[int] | None) -> dict[str, int]:
    """Return the number of output channels of each module, from a dry run."""
    shape = _guess_input_shape(model) if input_shape is None else tuple(input_shape)
    try:
        outputs = dry_run(model, shape)
    except REFUSED as error:
        raise ValueError(
            f"insert_blocks: a dry run with an input of {list(shape)} fails ({str(error).splitlines()[0]}); give "
            "input_shape, or blocks that are made already, as in {'layer3.1': NonLocal(256)}"
        ) from error
    names = {module: path for path, module in model.named_modules()}
    return {path: _channels(path, outputs.get(names[module], [])) for path, module in paths.items()}


def _guess_input_shape(model: nn.Module) -> tuple[int, ...]:
    for module in model.modules():
        for kind, size in DRY_RUN_SIZES.items():
            if isinstance(module, kind):
                return (2, module.in_channels, *size)
    raise ValueError("insert_blocks: the model has no convolution to guess its input from; give input_shape")


def _channels(path: str, outputs: list) -> int:
    if not outputs:
        raise ValueError(f"insert_blocks: the model does not call {path!r}; choose another module")
    if not all(isinstance(output, Tensor) and output.ndim in (3, 4, 5) for output in outputs):
        raise ValueError(
            f"insert_blocks: {path!r} does not put out a map [B, C, T, H, W], [B, C, H, W] or [B, C, T]; "
            "choose another module"
        )
    channels = {output.shape[1] for output in outputs}
    if len(channels) > 1:
        raise ValueError(
            f"insert_blocks: the model calls {path!r} several times, with {sorted(channels)} channels; "
            "choose another module"
        )
    return channels.pop()
