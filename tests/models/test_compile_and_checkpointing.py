"""Compiled, recomputed, in bfloat16, channels last: the numbers of the plain network, with every block.

The graphs run uncompiled ("aot_eager"): to make C++ of them takes a minute.
"""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from nlvideo import blocks
from nlvideo.models import Backbone, Insert, ResNet3d
from nlvideo.models.activation_checkpointing import activation_checkpoint_stages
from nlvideo.models.compile import compile_blocks
from nlvideo.models.residual import ResidualBlock

BLOCKS = [getattr(blocks, name) for name in blocks.__all__ if name != "Block"]
CHANNELS = 16


class OneBlock(Backbone):
    """A residual block with an attention block behind it."""

    def __init__(self, kind: type):
        super().__init__(5, locals())
        self.block = ResidualBlock(CHANNELS, CHANNELS // 4, stride=1, arch="i3d", residual="bottleneck")
        self.block.insert("after", kind)
        self.proj = nn.Linear(CHANNELS, 5)
        with torch.no_grad():
            for parameter in self.block.after.parameters():  # a block that starts as the identity hides its errors
                parameter.normal_(std=0.3)

    def stages(self) -> dict[str, nn.Module]:
        return {"block": self.block}

    def forward(self, video):
        return self.proj(self.block(video).mean(dim=(2, 3, 4)))


def step(net: nn.Module, *, channels: int, bfloat16: bool = False, channels_last: bool = False) -> dict:
    """Logits, the gradient of each parameter and the statistics of each norm, by name, after a step from `net`."""
    net = copy.deepcopy(net)
    video = torch.randn(4, channels, 8, 16, 16, generator=torch.Generator().manual_seed(1))
    if channels_last:
        net.to(memory_format=torch.channels_last_3d)
        video = video.contiguous(memory_format=torch.channels_last_3d)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        logits = net(video)
    nn.functional.cross_entropy(logits.float(), torch.tensor([1, 3, 0, 2])).backward()
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    return {"logits": logits.detach().float(), **gradients, **dict(net.named_buffers())}


def assert_same(given: dict, expected: dict) -> None:
    assert given.keys() == expected.keys()
    for name, tensor in expected.items():
        assert_close(given[name], tensor, atol=1e-5, rtol=1e-4, msg=lambda words, name=name: f"{name}: {words}")


@pytest.mark.parametrize("kind", BLOCKS, ids=lambda kind: kind.__name__)
def test_every_block_with_all_of_them_together(kind):
    torch.manual_seed(0)
    plain = OneBlock(kind)
    fast = copy.deepcopy(plain)
    torch.compiler.reset()
    compile_blocks(fast, backend="aot_eager")
    activation_checkpoint_stages(fast, ["block"])
    assert fast.state_dict().keys() == plain.state_dict().keys()

    given = step(fast, channels=CHANNELS, bfloat16=True, channels_last=True)
    expected = step(plain, channels=CHANNELS)
    for name, tensor in expected.items():
        assert given[name].isfinite().all(), name
        assert given[name].dtype == tensor.dtype
    assert_close(given["logits"], expected["logits"], atol=0.03, rtol=0.03)
    names = [name for name, _ in plain.named_parameters()]
    ours, theirs = (torch.cat([each[name].flatten() for name in names]) for each in (given, expected))
    assert nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.99


def test_a_whole_network_compiled_and_recomputed():
    torch.manual_seed(0)
    plain = ResNet3d("c2d", [1, 1, 1, 1], 5, width=4, dropout=0.0, after=Insert(blocks.NonLocal, {"res3": 1}))
    fast = copy.deepcopy(plain)
    torch.compiler.reset()
    compile_blocks(fast, backend="aot_eager")
    activation_checkpoint_stages(fast, ["stem", "res2", "res3", "head"])
    given = step(fast, channels=3)
    assert_same(given, step(plain, channels=3))
    assert given["blocks.0.norm.num_batches_tracked"] == 1


def test_recomputing_draws_the_same_dropout_and_keeps_less():
    def run(stages: list[str]) -> tuple[dict, int]:
        torch.manual_seed(0)
        net = ResNet3d("c2d", [2, 2, 1, 1], 5, width=8)
        activation_checkpoint_stages(net, stages)
        kept = []

        def keep(tensor):
            kept.append(tensor.nbytes)
            return tensor

        torch.manual_seed(1)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            results = step(net, channels=3)
        return results, sum(kept)

    (expected, all_bytes), (given, kept_bytes) = run([]), run(["res2", "res3", "head"])
    assert_same(given, expected)
    assert kept_bytes < 0.7 * all_bytes


def test_a_copy_of_a_compiled_network_is_its_own():
    net = ResNet3d("c2d", [1, 1, 1, 1], 5, width=4).eval()
    compile_blocks(net, backend="eager")
    activation_checkpoint_stages(net, ["res2"])
    twin = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    video = torch.randn(1, 3, 8, 16, 16)
    assert not net(video).any()
    assert twin(video).any()


def test_an_unknown_stage_is_named():
    with pytest.raises(ValueError, match="no stage 'res9'; expected some of stem, res2"):
        activation_checkpoint_stages(ResNet3d("c2d", [1, 1, 1, 1], 5, width=4), ["res9"])
