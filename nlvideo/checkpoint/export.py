"""Export a network to one file that runs without nlvideo: torch.export's .pt2, or ONNX."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

import nlvideo
from nlvideo.blocks import NonLocal
from nlvideo.files import replacing
from nlvideo.models import Backbone
from nlvideo.ops import explicit_forms

# Size of the clip that goes through the network while its graph is made: so large that no map shrinks to one position,
# which the graph would take for a rule.
EXAMPLE_FRAMES, EXAMPLE_SIDE = 32, 128

METADATA = "nlvideo.json"  # in a .pt2; an ONNX file has an entry "nlvideo" with the same text


def export(net: nn.Module, path: str | Path) -> None:
    """Write a network from `nlvideo.load` to model.pt2 or model.onnx.

    The file takes normalised clips, float32 [B, 3, T, H, W] of any B, H and W and, without blocks that have
    `temporal_groups`, any T of two frames or more, and gives logits [B, K]. A model of another library (`AnyModel`) may
    rely on one size: its T, H and W are those of the clips that it was trained with. The file's metadata, JSON, says
    how to cut and normalise clips and what the classes are called.

    Attention is exported in its explicit form, plain matrix products that every runtime knows, with the N x M matrix
    of a block; none of nlvideo's operators is needed to run it.

    Raises:
        ValueError: another suffix, or ONNX's packages are missing.
    """
    path = Path(path)
    if path.suffix not in (".pt2", ".onnx"):
        raise ValueError(f"export: {path}: expected a file .pt2 (torch.export) or .onnx")
    missing = [name for name in ("onnx", "onnxscript") if path.suffix == ".onnx" and find_spec(name) is None]
    if missing:
        raise ValueError(f"export: {' and '.join(missing)} not installed; pip install onnx onnxscript")
    write(trace(net), describe(net), path)


def trace(net: nn.Module) -> ExportedProgram:
    """Return the graph of a network in eval mode, with plain operators only, on the network's device."""
    dims = {0: Dim.DYNAMIC, 3: Dim.DYNAMIC, 4: Dim.DYNAMIC}
    frames, side = net.preprocessing["clip_frames"], EXAMPLE_SIDE
    if isinstance(net, Backbone) and net.wrapped:
        dims, side = {0: Dim.DYNAMIC}, net.preprocessing["crop_size"]
    # The number of temporal groups is fixed in the graph.
    elif not any(isinstance(module, NonLocal) and module.grouping.temporal_groups > 1 for module in net.modules()):
        dims[2], frames = Dim.DYNAMIC, EXAMPLE_FRAMES
    example = next(net.parameters()).new_zeros(2, 3, frames, side, side)
    with torch.no_grad(), explicit_forms():
        return torch.export.export(net.eval(), (example,), dynamic_shapes=(dims,))


def describe(net: nn.Module) -> dict[str, Any]:
    """Return what whoever runs the file has to know."""
    return {
        "version": nlvideo.__version__,
        "input": "float32 [B, 3, T, H, W], RGB, (pixel / 255 - mean) / std",
        "output": "logits [B, K]",
        "class_names": net.class_names,
        "preprocessing": net.preprocessing,
    }


def write(program: ExportedProgram, description: dict[str, Any], path: Path) -> None:
    """Write a graph and its metadata in the format of the suffix."""
    metadata = json.dumps(description)
    with replacing(path) as partial:
        if path.suffix == ".pt2":
            program.example_inputs = None  # or the example clip goes into the file
            torch.export.save(program, partial, extra_files={METADATA: metadata})
        else:
            names = {"input_names": ["video"], "output_names": ["logits"]}
            onnx_program = torch.onnx.export(program, dynamo=True, verbose=False, **names)
            onnx_program.model.metadata_props["nlvideo"] = metadata
            onnx_program.save(partial)
