"""Backbones and blocks from a user's module in the working directory, named on the command line."""

import sys

import pytest
import torch

import nlvideo
from nlvideo.__main__ import main
from nlvideo.configuration import configuration
from nlvideo.cost.tables import NetworkSpec
from nlvideo.models.inference import inference_copy
from nlvideo.models.placed_blocks import placed_blocks

TINY_NET = """
from torch import nn

from nlvideo.blocks import SqueezeExcite
from nlvideo.models import Backbone


class TinyNet(Backbone):
    def __init__(self, num_classes: int = 400, *, width: int = 8):
        super().__init__(num_classes, locals())
        self.body = nn.Sequential(
            nn.Conv3d(3, width, (1, 5, 5), stride=(1, 4, 4)), nn.BatchNorm3d(width), nn.ReLU(), SqueezeExcite(width)
        )
        self.fc = nn.Linear(width, num_classes)

    def forward(self, video):
        return self.fc(self.body(video).mean(dim=(2, 3, 4)))
"""

MY_BLOCKS = """
from nlvideo.blocks import Block


class MyBlock(Block):
    def __init__(self, channels: int, *, factor: float = 1.0):
        super().__init__(channels)
        self.factor = factor

    def forward_clip(self, x):
        return self.factor * x
"""


@pytest.fixture
def working_directory(tmp_path, monkeypatch):
    """A folder with a user's modules, in which commands are given."""
    (tmp_path / "tiny_net.py").write_text(TINY_NET)
    (tmp_path / "my_blocks.py").write_text(MY_BLOCKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != ""])
    yield
    for name in ("tiny_net", "my_blocks"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("working_directory")
def test_a_block_of_ones_own_is_named_with_its_module(tiny):
    net = ["--model.net.after.x.block=my_blocks.MyBlock", "--model.net.after.x.block.factor=2"]
    spec = NetworkSpec.of(configuration([*tiny, *net, "--model.net.after.x.at={res5: [0]}"]))
    assert placed_blocks(spec.net)["MyBlock"] == {"res5": [0]}
    assert spec.net.residual_blocks()["res5"][0].after.factor == 2


@pytest.mark.usefixtures("working_directory")
def test_a_new_backbone_trains_tests_counts_and_exports(tiny, tmp_path, run_tool):
    short = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
    net = ["--model.net=tiny_net.TinyNet", "--model.net.width=6"]
    assert main(["fit", *tiny, *net, *short, f"--runs_dir={tmp_path}", "--name=run"]) == 0
    run = tmp_path / "run"
    assert main(["test", "-c", str(run / "config.yaml"), f"--ckpt_path={run / 'last.ckpt'}"]) == 0
    assert (run / "test.json").is_file()

    counted = run_tool("cost.py", *tiny, *net)
    assert "body" in counted
    assert "1 SqueezeExcite" in counted

    run_tool("export.py", run / "last.ckpt", "-o", tmp_path / "net.pt2", "--import=tiny_net")
    exported = torch.export.load(tmp_path / "net.pt2").module()
    loaded = nlvideo.load(run / "last.ckpt", trusted_modules=["tiny_net"])
    video = torch.randn(2, 3, 8, 64, 64)
    torch.testing.assert_close(exported(video), loaded(video))
    fast = inference_copy(loaded)
    torch.testing.assert_close(fast(video), loaded(video), rtol=1e-4, atol=1e-5)
    assert not [each for each in fast.modules() if isinstance(each, torch.nn.BatchNorm3d)]
