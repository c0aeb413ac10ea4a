"""Lesions of networks by the places of their blocks, also of inference copies, and the frames that probes show."""

import pytest
import torch
from torch import nn

from nlvideo.analysis.lesions import lesioned, parse_lesions
from nlvideo.analysis.probes import PROBES, parse_probes, probe_clips
from nlvideo.blocks import DualAttention, NonLocal, SqueezeExcite
from nlvideo.blocks.frozen_affine import FrozenAffine
from nlvideo.blocks.lesion import Lesion
from nlvideo.models import Insert, ResNet3d
from nlvideo.models.inference import inference_copy


def network(**options) -> ResNet3d:
    torch.manual_seed(0)
    net = ResNet3d("c2d", [1, 2, 1, 1], 3, width=4, residual="basic", dropout=0.0, **options).eval()
    for module in net.modules():  # no block is the identity, and no norm is one that folds to nothing
        if isinstance(module, nn.BatchNorm3d | FrozenAffine):
            nn.init.uniform_(module.weight.data, 0.5, 1.5)
            nn.init.normal_(module.bias.data, std=0.3)
    return net


def video():
    return torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))


NON_LOCAL = Insert(NonLocal, {"res2": [0], "res3": [0, 1]})


def test_names_on_the_command_line():
    lesions = parse_lesions(network(after=NON_LOCAL), ["each", "res3.1", "all:window3", "res2.0+res3.1:uniform"])
    paths = {name: sorted(blocks) for name, blocks in lesions.items()}
    res2, first, second = (f"blocks.{i}.res_blocks.{j}.after" for i, j in ((1, 0), (3, 0), (3, 1)))
    assert paths == {
        "res2.0-off": [res2],
        "res3.0-off": [first],
        "res3.1-off": [second],
        "all-window3": [res2, first, second],
        "res2.0+res3.1-uniform": [res2, second],
    }
    assert set(lesions["all-window3"].values()) == {Lesion("window", 3)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("res4.0", "--lesion res4.0: no block 'res4.0'; expected some of res2.0, res3.0, res3.1, all or each"),
        ("res2.0+", "no block ''"),
        ("each:of", "--lesion each:of: 'of': expected off, own_frame, other_frames, uniform or windowN"),
    ],
)
def test_lesions_that_cannot_be(text, words):
    with pytest.raises(ValueError, match=words.replace("+", r"\+")):
        parse_lesions(network(after=NON_LOCAL), [text])


def test_a_block_that_knows_no_such_lesion():
    net = network(branch=Insert(SqueezeExcite, {"res3": [1]}))
    with pytest.raises(
        ValueError, match=r"--lesion all:own_frame: res3.1 is a SqueezeExcite, which knows off and unif"
    ):
        parse_lesions(net, ["all:own_frame"])
    space = network(after=Insert(lambda channels: NonLocal(channels, domain="space"), {"res3": [1]}))
    with pytest.raises(ValueError, match=r"res3.1 is a NonLocal, which knows off and uniform"):
        parse_lesions(space, ["each:window3"])


def test_a_network_without_blocks_is_refused():
    with pytest.raises(ValueError, match="--lesion all: the network has no attention blocks"):
        parse_lesions(network(), ["all"])


def test_all_blocks_off_is_the_network_without_blocks():
    net = network(after=NON_LOCAL, branch=Insert(SqueezeExcite, "all"))
    bare = net.bare().eval()
    bare.load_state_dict(net.state_dict(), strict=False)
    (lesions,) = parse_lesions(net, ["all"]).values()
    intact = net(video())
    with lesioned(net, lesions):
        torch.testing.assert_close(net(video()), bare(video()), rtol=0, atol=0)
    torch.testing.assert_close(net(video()), intact, rtol=0, atol=0)
    assert (intact - bare(video())).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["off", "own_frame", "other_frames", "window3", "uniform"])
@pytest.mark.parametrize("norm", ["batch", "affine", "none"])
def test_an_inference_copy_has_the_same_lesions(norm, kind):
    net = network(after=Insert(lambda channels: NonLocal(channels, norm=norm, init_scale=1.0), {"res3": [0, 1]}))
    (lesions,) = parse_lesions(net, [f"all:{kind}"]).values()
    copy = inference_copy(net)
    with lesioned(net, lesions), lesioned(copy, lesions):
        torch.testing.assert_close(copy(video()), net(video()), rtol=1e-4, atol=1e-5)


def test_blocks_made_of_blocks():
    """DualAttention as a whole can be off; its own attention over positions is what frames restrict."""
    net = network(after=Insert(DualAttention, {"res3": [1]}))
    block = net.residual_blocks()["res3"][1].after
    for attention in (block.branches.position, block.branches.channel):
        nn.init.constant_(attention.gamma, 2.0)
    x = torch.randn(1, block.channels, 4, 8, 8)
    own_frame, off = parse_lesions(net, ["res3.1:own_frame", "res3.1"]).values()
    with torch.no_grad():
        position_in, channel_in = block.branches.position_in(x), block.branches.channel_in(x)
        position = block.branches.position(position_in, Lesion("own_frame"))
        parts = block.branches.position_out(position) + block.branches.channel_out(block.branches.channel(channel_in))
        with lesioned(net, own_frame):
            torch.testing.assert_close(block(x), x + block.norm(block.conv_out(parts)))
        assert (block(x) - x - block.norm(block.conv_out(parts))).abs().max() > 1e-3
        with lesioned(net, off):
            assert block(x) is x


def test_frames_that_probes_show():
    clips = torch.tensor([[0, 2, 4, 6, 8], [10, 11, 12, 13, 14]])
    shown = {probe: probe_clips(clips, probe, seed=0, video=3).tolist() for probe in PROBES}
    assert shown["reversed"] == [[8, 6, 4, 2, 0], [14, 13, 12, 11, 10]]
    assert shown["still"] == [[4] * 5, [12] * 5]
    assert shown["first_half"] == [[0, 0, 2, 2, 4], [10, 10, 11, 11, 12]]
    assert shown["second_half"] == [[4, 4, 6, 6, 8], [12, 12, 13, 13, 14]]
    even = torch.arange(8)[None]
    assert probe_clips(even, "first_half", 0, 0).tolist() == [[0, 0, 1, 1, 2, 2, 3, 3]]
    assert probe_clips(even, "second_half", 0, 0).tolist() == [[4, 4, 5, 5, 6, 6, 7, 7]]
    assert [sorted(clip) for clip in shown["shuffled"]] == clips.tolist()


def test_shuffles_are_a_function_of_seed_and_video():
    clips = torch.arange(40).reshape(2, 20)
    first, again, seed, video = (probe_clips(clips, "shuffled", *draw) for draw in ((0, 3), (0, 3), (1, 3), (0, 4)))
    assert torch.equal(first, again)
    assert not any(torch.equal(first, other) for other in (seed, video))
    assert not torch.equal(first[0], first[1] - 20)  # each clip its own


def test_probes_by_name():
    assert parse_probes(["still", "all"]) == ["still", "shuffled", "reversed", "first_half", "second_half"]
    with pytest.raises(ValueError, match="--probe backwards: expected some of shuffled, reversed, still"):
        parse_probes(["backwards"])
