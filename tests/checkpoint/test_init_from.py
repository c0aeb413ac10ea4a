"""--model.init_from: image networks inflated, partial loads, folded norms, and what is said about them."""

from functools import partial

import pytest
import torch
from torchvision.models import resnet50

from nlvideo.__main__ import main
from nlvideo.blocks import NonLocal, SqueezeExcite
from nlvideo.checkpoint import init_from, save
from nlvideo.checkpoint.state_dict_matching import inflate
from nlvideo.models import Insert, ResNet3d

# Frames at each end of a clip, after stem and stages of an I3D, that have seen the zeros before or behind it: conv1
# of five frames reaches two, an inflated block one, and pool2 halves what came together before it.
REACH = {"stem": 2, "res2": 2 + 3, "res3": 3 + 2, "res4": 5 + 3, "res5": 8 + 1}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """torchvision's ResNet-50 with random weights and statistics, and its file."""
    torch.manual_seed(0)
    net = resnet50().eval()
    for name, weight in net.state_dict().items():
        if name.endswith("running_var"):
            weight.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            weight.normal_(std=0.1)
    path = tmp_path_factory.mktemp("images") / "resnet50.pth"
    torch.save(net.state_dict(), path)
    return net, path


def image_features(net, image):
    x = net.maxpool(net.relu(net.bn1(net.conv1(image))))
    features = {"stem": x}
    for stage in range(1, 5):
        features[f"res{stage + 1}"] = x = getattr(net, f"layer{stage}")(x)
    return features


def clip_features(net, clip):
    features = {}
    for name, block in zip(("stem", "res2", None, "res3", "res4", "res5"), net.blocks, strict=False):
        clip = block(clip)
        if name:
            features[name] = clip
    return features


@pytest.mark.parametrize(("arch", "num_frames"), [("c2d", 2), ("i3d", 40), ("i3d_3x3x3", 40)])
def test_a_still_clip_has_the_features_of_its_image(arch, num_frames, images):
    """In a C2D at all times; in an I3D at those where no convolution has seen the zeros around the clip."""
    theirs, path = images
    net = ResNet3d(arch, num_classes=1000)
    init_from(net, path)
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        expected = image_features(theirs, image)
        actual = clip_features(net.eval(), image[:, :, None].expand(-1, -1, num_frames, -1, -1))
    for stage, features in expected.items():
        reach = 0 if arch == "c2d" else REACH[stage]
        inside = actual[stage][:, :, reach : actual[stage].shape[2] - reach]
        assert inside.shape[2] > 0
        scale = features.abs().max()
        difference = (inside - features[:, :, None]).abs().max() / scale
        assert difference < 1e-5, f"{stage}: {difference}"
        if reach:
            assert (actual[stage][:, :, 0] - features).abs().max() / scale > 1e-4, f"{stage}: reach is smaller"


def test_inflation_repeats_and_divides():
    weight = torch.randn(4, 3, 1, 1)
    inflated = inflate(weight, torch.Size((4, 3, 3, 1, 1)))
    for t in range(3):
        torch.testing.assert_close(inflated[:, :, t], weight / 3)
    assert inflate(weight, torch.Size((4, 2, 3, 1, 1))) is None
    assert inflate(torch.randn(4, 3, 3, 1, 1), torch.Size((4, 3, 5, 1, 1))) is None


def test_a_partial_load_is_summed_up(images):
    _, path = images
    net = ResNet3d("i3d", num_classes=7, after=Insert(NonLocal, "nl5"))
    summary = init_from(net, path)
    first, loaded, new, dropped, pixels = summary.splitlines()
    assert first == f"init_from {path} (torchvision or timm)"
    num_weights = len(images[0].state_dict())
    assert loaded == f"  loaded   {num_weights - 2} tensors (53 repeated over time)"
    # A block has a weight and a bias of four convolutions and of the norm, and two statistics.
    assert new.startswith(
        f"  new      {5 * 12 + 2} tensors: blocks.3.res_blocks.1.after, blocks.3.res_blocks.3.after, "
    )
    assert new.endswith(", blocks.6.proj")
    assert dropped == "  dropped  2 tensors: blocks.6.proj (1000 there, 7 here)"
    assert "[0.485, 0.456, 0.406]" in pixels


def test_conventions_of_another_codebase_that_the_network_does_not_keep(foreign_net, clip, tmp_path):
    theirs = foreign_net("mmaction2", "i3d", at={3: (1,)})
    theirs(clip())
    path = theirs.save(tmp_path / "x.pth")
    alike = partial(NonLocal, pool_after_projection=True, scale=False)
    for block, differs in ((NonLocal, True), (alike, False)):
        net = ResNet3d("i3d", [1, 2, 2, 1], 5, width=4, temporal_stride=4, after=Insert(block, {"res3": [1]}))
        assert (
            "pool_after_projection is True there and False here; scale is False there and True here"
            in init_from(net, path)
        ) == differs


def narrow(**given):
    return ResNet3d("c2d", [1, 2, 2, 1], 5, width=4, after=Insert(NonLocal, {"res3": [1]}), **given)


@pytest.fixture
def saved(tmp_path):
    """A network whose norms have seen something, and its checkpoint."""
    torch.manual_seed(0)
    net = narrow().eval()
    for name, weight in net.state_dict().items():
        if "norm" in name and weight.is_floating_point():
            weight.uniform_(0.3, 0.9)
    net.class_names, net.preprocessing = list("abcde"), {"clip_frames": 8}
    save(net, tmp_path / "trained.ckpt")
    return net, tmp_path / "trained.ckpt"


def test_folding_batch_norms_changes_nothing(saved):
    net, path = saved
    frozen = narrow(freeze_bn="affine")
    summary = init_from(frozen, path)
    num_norms = sum(name.endswith("running_var") for name in net.state_dict())
    assert f"({num_norms} norms folded)" in summary
    assert "new      0 tensors" in summary and "dropped  0 tensors" in summary
    video = torch.randn(2, 3, 32, 64, 64)  # longer than what it was trained on
    with torch.no_grad():
        expected = net(video)
        for mode in (frozen.eval(), frozen.train().requires_grad_(False)):
            mode.blocks[-1].dropout.p = 0.0
            torch.testing.assert_close(mode(video), expected, rtol=1e-5, atol=1e-5)
    assert not [name for name, _ in frozen.named_parameters() if "norm" in name]


def test_what_is_folded_cannot_be_unfolded(saved, tmp_path):
    frozen = narrow(freeze_bn="affine")
    init_from(frozen, saved[1])
    frozen.class_names, frozen.preprocessing = [], {}
    save(frozen, tmp_path / "frozen.ckpt")
    with pytest.raises(ValueError, match=r"frozen\.ckpt: blocks.*norm.*give this network freeze_bn: affine"):
        init_from(narrow(), tmp_path / "frozen.ckpt")


@pytest.mark.parametrize(
    ("block", "at", "hint"),
    [
        (NonLocal, {"res3": [0], "res4": [-1]}, None),  # as in the paper
        (partial(NonLocal, init_scale=1.0, temporal_groups=2), {"res3": [1]}, None),  # not new: its weights are loaded
        (partial(NonLocal, init_scale=1.0), {"res3": [0, 1]}, ": res3.0; NonLocal does not with init_scale 0"),
        (partial(NonLocal, init_scale=1.0, norm="none", temporal_groups=3), {"res4": [1]}, ": res4.1; NonLocal does"),
        (SqueezeExcite, {"res4": [0]}, ": res4.0 (docs"),
    ],
)
def test_new_blocks_that_change_a_trained_network_are_pointed_out(block, at, hint, saved):
    net = ResNet3d("c2d", [1, 2, 2, 1], 5, width=4, after=Insert(block, at))
    told = [line for line in init_from(net, saved[1]).splitlines() if line.startswith("  hint")]
    assert len(told) == (hint is not None)
    assert hint is None or f"new blocks change the trained network from the first step{hint}" in told[0]


def test_another_kind_of_network_is_an_error(saved):
    with pytest.raises(ValueError, match="no weight has a name and shape"):
        init_from(torch.nn.Linear(2, 2), saved[1])


def test_from_a_short_to_a_long_run_in_one_command(trained, tiny, tmp_path, capsys):
    long = ["fit", *tiny, f"--runs_dir={tmp_path}", "--name=long", "--trainer.max_epochs=1"]
    long += ["--data.clip_frames=16", "--data.frame_interval=4", "--model.net.freeze_bn=affine"]
    assert main([*long, "--model.net.zero_init_residual=true"]) == 1
    assert "frozen where they start" in capsys.readouterr().err
    assert main([*long, f"--model.init_from={trained / 'last.ckpt'}", "--overwrite=true"]) == 0
    assert "norms folded" in capsys.readouterr().out
