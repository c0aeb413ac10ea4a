"""An exported network gives the network's numbers, at other sizes than it was traced with. A class exported by
nlvideo.blocks is tested here without being named here."""

import inspect
import json
from collections.abc import Callable
from functools import partial

import pytest
import torch
from onnxruntime import InferenceSession
from torch import nn

from nlvideo import blocks
from nlvideo.blocks import NonLocal
from nlvideo.checkpoint.export import METADATA, describe, export, trace, write
from nlvideo.models import Insert, ResNet3d

CHANNELS = 8
ALL_BLOCKS = {
    name: block
    for name, block in blocks.__dict__.items()
    if inspect.isclass(block) and issubclass(block, blocks.Block) and block is not blocks.Block
}
VARIANTS = {
    **{
        pairwise: partial(NonLocal, pairwise=pairwise, init_scale=1.0)
        for pairwise in ("gaussian", "dot_product", "concatenation")  # the fourth is the default
    },
    "time": partial(NonLocal, domain="time", subsample=False, init_scale=1.0),
}


def prepared(net):
    """As from nlvideo.load, with no parameter at a start that would hide it."""
    for parameter in net.parameters():
        if not parameter.any():
            parameter.data.normal_(std=0.5)
    net.class_names = ["no", "yes"]
    net.preprocessing = {"clip_frames": 8, "frame_interval": 8, "crop_size": 64, "mean": 0.45, "std": 0.225}
    return net.eval()


class SideBySide(nn.Module):
    """Blocks that see the same clip: one graph for all of them, which takes a fifth of the time of one for each."""

    def __init__(self, made: dict[str, Callable[[int], nn.Module]]):
        super().__init__()
        self.stem, self.pool = nn.Conv3d(3, CHANNELS, 1), nn.AvgPool3d((1, 2, 2))
        self.blocks = nn.ModuleDict({name: block(CHANNELS) for name, block in made.items()})

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        features = self.stem(video)
        outputs = [self.pool(block(features)).flatten(1) for block in self.blocks.values()]
        return torch.stack(outputs, dim=1)  # [B, blocks, C x T x positions]


def check(net, folder, sizes):
    """Both formats, from one trace."""
    program, clips = trace(net), [torch.randn(size, generator=torch.Generator().manual_seed(0)) for size in sizes]
    for suffix in (".pt2", ".onnx"):
        write(program, describe(net), folder / f"model{suffix}")
    loaded, session = torch.export.load(folder / "model.pt2").module(), InferenceSession(folder / "model.onnx")
    for clip in clips:
        with torch.no_grad():
            expected = net(clip)
            torch.testing.assert_close(loaded(clip), expected, rtol=1e-4, atol=1e-4)
        (logits,) = session.run(None, {"video": clip.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-4, atol=1e-4)


def test_every_block_and_pairwise_function(tmp_path):
    torch.manual_seed(0)
    check(prepared(SideBySide({**ALL_BLOCKS, **VARIANTS})), tmp_path, [(1, 3, 8, 12, 12), (3, 3, 5, 10, 15)])


def test_temporal_groups_fix_the_number_of_frames(tmp_path):
    torch.manual_seed(0)
    net = prepared(SideBySide({"groups": partial(NonLocal, temporal_groups=2, init_scale=1.0)}))
    check(net, tmp_path, [(1, 3, 8, 12, 12), (3, 3, 8, 10, 15)])


def test_a_whole_network(tmp_path):
    torch.manual_seed(0)
    settings = {"residual": "basic", "freeze_bn": "affine", "after": Insert(NonLocal, {"res3": 1})}
    net = prepared(ResNet3d("i3d", [1, 1, 1, 1], 2, width=4, **settings))
    check(net, tmp_path, [(2, 3, 8, 64, 64), (1, 3, 8, 64, 64), (3, 3, 5, 65, 97)])


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_metadata(suffix, tmp_path):
    net, path = prepared(nn.Conv3d(3, 2, 1)), tmp_path / f"model{suffix}"
    export(net, path)
    if suffix == ".pt2":
        entries = {METADATA: ""}
        torch.export.load(path, extra_files=entries)
        text = entries[METADATA]
    else:
        text = InferenceSession(path).get_modelmeta().custom_metadata_map["nlvideo"]
    metadata = json.loads(text)
    assert metadata["class_names"] == net.class_names
    assert metadata["preprocessing"] == net.preprocessing


def test_another_suffix_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"expected a file \.pt2 .* or \.onnx"):
        export(nn.Identity(), tmp_path / "model.tflite")
