"""Blocks in models of other libraries, by module path."""

import copy
import functools
import io

import pytest
import torch
from torch import nn
from torchvision.models import densenet121, resnet50
from torchvision.models.video import r3d_18

from nlvideo.blocks import DualAttention, NonLocal, PositionAttention, SqueezeExcite
from nlvideo.models import insert_blocks


class Sequences(nn.Module):
    """A user's own: [B, 4, T] -> [B, 2]."""

    def __init__(self):
        super().__init__()
        self.encode = nn.Sequential(nn.Conv1d(4, 8, 3), nn.BatchNorm1d(8), nn.ReLU())
        self.more = nn.Conv1d(8, 12, 3)
        self.act = nn.ReLU()
        self.unused = nn.ReLU()
        self.fc = nn.Linear(12, 2)

    def forward(self, x):
        return self.fc(self.act(self.more(self.act(self.encode(x)))).mean(dim=2))


MODELS = {
    "r3d_18": (functools.partial(r3d_18, num_classes=5), (2, 3, 4, 32, 32), ["layer2.0", "layer3.1"], [128, 256]),
    "resnet50": (functools.partial(resnet50, num_classes=5), (2, 3, 40, 56), ["layer3.1", "layer3.4"], [1024, 1024]),
    "own": (Sequences, (2, 4, 20), ["encode", "more"], [8, 12]),
}
each_model = pytest.mark.parametrize("name", MODELS)


def made(name):
    torch.manual_seed(0)
    make, shape, paths, channels = MODELS[name]
    return make().eval(), torch.randn(shape), paths, channels


def awake(block):
    """Away from its start, where it is the identity."""
    block.norm.weight.data.fill_(1.0)
    return block


@each_model
def test_outputs_and_names_of_the_base_are_unchanged(name):
    model, x, paths, channels = made(name)
    base, before = copy.deepcopy(model.state_dict()), model(x)
    assert insert_blocks(model, dict.fromkeys(paths, NonLocal)) is model
    torch.testing.assert_close(model(x), before, rtol=0, atol=0)

    state = model.state_dict()
    assert base.keys() <= state.keys()
    assert all(torch.equal(state[key], tensor) for key, tensor in base.items())
    assert all(".inserted." in key for key in state.keys() - base.keys())
    assert [block.channels for block in model.modules() if isinstance(block, NonLocal)] == channels


@each_model
def test_blocks_run_and_are_trained(name):
    model, x, paths, _ = made(name)
    before = model(x)
    insert_blocks(model, dict.fromkeys(paths, functools.partial(NonLocal, init_std=None, init_scale=1.0)))
    out = model(x)
    assert not torch.allclose(out, before)
    out.square().sum().backward()
    for block in model.modules():
        if isinstance(block, NonLocal):
            assert all(weight.grad is not None for weight in block.parameters())


def test_the_block_stands_behind_the_module():
    model, x, _, _ = made("own")
    block = awake(NonLocal(12)).eval()
    expected = model.fc(torch.relu(block(model.more(torch.relu(model.encode(x))))).mean(dim=2))
    torch.testing.assert_close(insert_blocks(model, {"more": block})(x), expected)


def test_behind_a_sequential_it_runs_once():
    model, x, _, _ = made("own")
    block = awake(NonLocal(8)).eval()
    expected = model.fc(torch.relu(model.more(torch.relu(block(model.encode(x))))).mean(dim=2))
    torch.testing.assert_close(insert_blocks(model, {"encode": block})(x), expected)
    assert [name for name, module in model.named_modules() if module is block] == ["encode.2.inserted"]


def test_copies_pickles_and_states_keep_the_block():
    model, x, _, _ = made("own")
    insert_blocks(model, {"more": awake(NonLocal(12)).eval()})
    expected = model(x)

    copied = copy.deepcopy(model)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    again = insert_blocks(Sequences().eval(), {"more": NonLocal})
    again.load_state_dict(model.state_dict())
    for other in (copied, loaded, again):
        torch.testing.assert_close(other(x), expected, rtol=0, atol=0)
        other.more.inserted.conv_out.weight.data += 1  # a block of its own
        assert not torch.allclose(other(x), expected)
    torch.testing.assert_close(model(x), expected, rtol=0, atol=0)


def test_the_compiler_sees_it_as_one_graph():
    model, x, _, _ = made("own")
    insert_blocks(model, {"more": awake(NonLocal(12)).eval()})
    torch.testing.assert_close(torch.compile(model, backend="eager", fullgraph=True)(x), model(x))


def test_the_dry_run_leaves_no_trace():
    model, _, _, _ = made("own")
    model.train()
    before = copy.deepcopy(model.state_dict())
    insert_blocks(model, {"more": NonLocal})
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in before.items())
    assert not model.encode._forward_hooks
    assert model.more.inserted.training


def test_a_block_has_the_dtype_of_the_model():
    model = Sequences().double()
    insert_blocks(model, {"more": SqueezeExcite, "encode": DualAttention, "act": NonLocal(12)})
    assert {weight.dtype for weight in model.parameters()} == {torch.float64}


def test_a_timm_model():
    timm = pytest.importorskip("timm")
    model, x = timm.create_model("resnet18", num_classes=5).eval(), torch.randn(1, 3, 64, 64)
    before = model(x)
    insert_blocks(model, {"layer3.1": NonLocal, "layer4": PositionAttention})
    torch.testing.assert_close(model(x), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ({"mre": NonLocal}, "no module 'mre'; the nearest are more"),
        ({"unused": NonLocal}, "does not call 'unused'"),
        ({"fc": NonLocal}, "'fc' does not put out a map"),
        ({"act": NonLocal}, r"calls 'act' several times, with \[8, 12\] channels"),
        ({"encode": NonLocal, "encode.2": NonLocal}, "encode, encode.2 are the same place"),
    ],
)
def test_impossible_places_say_so(at, words):
    with pytest.raises(ValueError, match=words):
        insert_blocks(Sequences(), at)


def test_one_block_at_a_place():
    model = insert_blocks(Sequences(), {"more": NonLocal})
    with pytest.raises(ValueError, match="'more' has a block already"):
        insert_blocks(model, {"more": SqueezeExcite})


def test_containers_that_run_their_children_in_their_own_way_are_refused():
    with torch.device("meta"):
        model = densenet121()
    with pytest.raises(ValueError, match=r"'features\.denseblock1' is a _DenseBlock"):
        insert_blocks(model, {"features.denseblock1": NonLocal})


def test_a_model_without_convolutions_needs_an_input_shape():
    model = nn.Sequential(nn.BatchNorm1d(6), nn.ReLU())
    with pytest.raises(ValueError, match="no convolution to guess its input from; give input_shape"):
        insert_blocks(model, {"0": NonLocal})
    insert_blocks(model, {"0": NonLocal}, input_shape=(2, 6, 10))
    assert model[0].inserted.channels == 6


def test_a_dry_run_that_fails_names_the_ways_out():
    with pytest.raises(ValueError, match=r"input of \[2, 3, 10\] fails \(.*give input_shape, or blocks that are made"):
        insert_blocks(Sequences(), {"more": NonLocal}, input_shape=(2, 3, 10))
