"""Models of other libraries as backbones: the same numbers as the library's own, with and without blocks."""

import copy
import json
from functools import partial

import pytest
import torch
from torch import nn
from torchvision.models.video import r3d_18

from nlvideo import checkpoint
from nlvideo.__main__ import main
from nlvideo.blocks import NonLocal, SqueezeExcite
from nlvideo.checkpoint.rebuild import known_classes, rebuild
from nlvideo.cost.count import count_cost, count_parts
from nlvideo.models import AnyModel, Insert
from nlvideo.models.activation_checkpointing import activation_checkpoint_stages
from nlvideo.models.inference import inference_copy
from nlvideo.models.module_paths import match_paths, resolve_paths
from nlvideo.models.placed_blocks import block_places, describe_blocks
from nlvideo.models.sources import find_builder

SLOW = {
    "model": "pytorchvideo.models.resnet.create_resnet",
    "kwargs": {"stem_dim_out": 8, "head_pool_kernel_size": [1, 1, 1]},
}
SLOWFAST = {
    "model": "pytorchvideo.models.slowfast.create_slowfast",
    "kwargs": {"stem_dim_outs": [16, 2], "head_pool_kernel_sizes": [[2, 1, 1], [8, 1, 1]]},
    "input_size": [8, 64, 64],
}
X3D = {"model": "pytorchvideo.models.x3d.create_x3d", "kwargs": {"input_clip_length": 4, "input_crop_size": 32}}
R3D = {"model": "torchvision.models.video.r3d_18"}
MODELS = {
    "slow": (SLOW, "blocks.2.res_blocks.[1,3]"),
    "slowfast": (SLOWFAST, ["blocks.2.multipathway_blocks.0.res_blocks.3", "blocks.3.multipathway_blocks.1.*.0"]),
    "r3d": (R3D, {"each": "layer3"}),
}
LOUD = partial(NonLocal, init_std=None, init_scale=1.0)


SMALL = pytest.mark.parametrize("case", ["slow", "slowfast"], indirect=True)


@pytest.fixture(params=MODELS)
def case(request):
    given, at = MODELS[request.param]
    torch.manual_seed(0)
    source = find_builder(given["model"])(**given.get("kwargs", {})).eval()
    for norm in (module for module in source.modules() if isinstance(module, nn.BatchNorm3d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)  # some start at 0, which hides their branch
    return given, at, source, torch.randn(2, 3, 8, 64, 64)


def their_logits(given, source, video):
    if given is SLOWFAST:
        return source([video[:, :, [0, 7]], video])  # 8 frames, a quarter of them in the slow pathway: its ends
    return source(video)


def test_files_of_the_library_give_its_numbers_with_and_without_blocks(case, tmp_path):
    given, at, source, video = case
    torch.save(source.state_dict(), tmp_path / "theirs.pth")
    net = AnyModel(**given, after=Insert(NonLocal, at))
    said = checkpoint.init_from(net, tmp_path / "theirs.pth")
    assert f"loaded   {len(source.state_dict())} tensors" in said
    assert "dropped  0 tensors" in said
    assert {name for name in net.model.state_dict() if ".inserted." not in name} == source.state_dict().keys()
    assert len(block_places(net)) == 2  # which start as the identity
    torch.testing.assert_close(net.eval()(video), their_logits(given, source, video), rtol=1e-4, atol=1e-5)


@SMALL
def test_a_copy_for_inference_computes_the_same(case):
    given, at, _, video = case
    net = AnyModel(**given, num_classes=5, after=Insert(LOUD, at))
    net.train()(video)  # away from the statistics of the start
    net.eval()
    fast = inference_copy(net)
    torch.testing.assert_close(fast(video), net(video), rtol=1e-3, atol=1e-4)
    rebuilt = rebuild(json.loads(json.dumps(net.config())), known_classes())
    rebuilt.load_state_dict(net.state_dict())
    torch.testing.assert_close(rebuilt.eval()(video), net(video), rtol=0, atol=0)


@pytest.mark.parametrize("case", ["slowfast"], indirect=True)
def test_costs_are_those_of_the_model(case):
    given, _, source, _ = case
    with torch.device("meta"):
        net = AnyModel(**given)
    cost = count_cost(net, (8, 64, 64))
    assert cost.params == sum(parameter.numel() for parameter in source.parameters())
    parts = count_parts(net, (8, 64, 64), 2)
    assert sum(part.cost.macs for part in parts) == cost.macs


def test_activations_computed_again_give_the_same_gradients():
    torch.manual_seed(0)
    video = torch.randn(2, 3, 8, 64, 64)
    once = AnyModel(**SLOWFAST, num_classes=5, after=Insert(LOUD, MODELS["slowfast"][1]))
    for module in once.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    twice = copy.deepcopy(once)
    activation_checkpoint_stages(twice, ["blocks.1", "blocks.2"])
    for net in (once, twice):
        net(video).square().sum().backward()
    for one, other in zip(once.parameters(), twice.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("none", []),
        ("layer2.1", ["layer2.1"]),
        ("layer[12].*", ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]),
        ("layer3.[0,1]", ["layer3.0", "layer3.1"]),
        (["layer4.0", "layer1.0"], ["layer1.0", "layer4.0"]),
        ({"layer3": 1}, ["layer3.1"]),
        ({"layer3": [-2], "layer2": 2}, ["layer2.0", "layer2.1", "layer3.0"]),
        ({"each": ["layer1", "layer4"]}, ["layer1.0", "layer1.1", "layer4.0", "layer4.1"]),
    ],
)
def test_places_by_path_pattern_and_count(at, expected):
    with torch.device("meta"):
        assert resolve_paths(at, r3d_18()) == expected


def test_a_star_stands_for_a_name_and_not_for_a_dot():
    assert match_paths("a.*", ["a", "a.b", "a.b.c"]) == ["a.b"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "r3d_18"}, "expected module.function, such as torchvision"),
        ({"model": "torchvision.models.video.r3d_81"}, "did you mean r3d_18"),
        ({"model": "no_such_package.net"}, "no module 'no_such_package'.*my_net.make"),
        ({"model": "torch.eye", "kwargs": {"n": 3}}, "gives a Tensor; expected an nn.Module"),
        ({**R3D, "kwargs": {"colour": 1}}, "kwargs .*colour"),
        ({**R3D, "classifier": "stem.0"}, "no linear layer or 1x1x1 convolution; expected one such as fc"),
        ({**R3D, "after": Insert(NonLocal, "layer9.1")}, "no module 'layer9.1'; the nearest are .*layer4.1"),
        ({**R3D, "after": Insert(NonLocal, "nl5")}, "means stages of a ResNet3d; expected .* layer1.1 or {layer1: 1}"),
        ({**R3D, "after": Insert(NonLocal, {"res4": 1})}, "no stage 'res4'; expected layer1, layer2"),
        ({**R3D, "after": Insert(NonLocal, {"layer3": 3})}, "3 blocks asked for, but layer3 has 2"),
        ({**R3D, "after": Insert(NonLocal, ["layer3.1", "layer3.*"])}, "names layer3.1 twice"),
        ({**R3D, "after": Insert(NonLocal, "fc")}, r"placement fc: puts out \[2, 400\], where a block takes a map"),
        ({**SLOWFAST, "after": Insert(NonLocal, "blocks.2")}, "puts out a list, where a block takes a map"),
        ({**SLOWFAST, "alpha": 1}, "takes no clips of 8 x 64 x 64.*alpha if it has two pathways"),
    ],
)
def test_a_wrong_name_is_told_the_right_one(given, message):
    with pytest.raises(ValueError, match=message), torch.device("meta"):
        AnyModel(**given)


def test_the_source_decides_on_pixels_and_pathways():
    with torch.device("meta"):
        assert AnyModel(**R3D).normalisation == ([0.43216, 0.394666, 0.37645], [0.22803, 0.22145, 0.216989])
        slowfast = AnyModel(**SLOWFAST, num_classes=7)
        x3d = AnyModel(**X3D)
    assert (slowfast.alpha, slowfast.normalisation) == (4, (0.45, 0.225))
    assert slowfast.notes == ["classifier blocks.6.proj: new, 7 classes in place of 400"]
    assert "Softmax blocks.5.activation: taken out" in x3d.notes[-1]


@pytest.mark.parametrize(
    ("model", "kwargs"),
    [
        ("os.system", {"command": "true"}),
        ("torchvision.models._api.importlib.import_module", {"name": "this"}),
        ("torchvision.models._api.get_weight", {"name": "x"}),
        ("pytorchvideo.models.resnet.torch.load", {"f": "x"}),
        ("nlvideo.files.write_text", {"path": "x", "text": ""}),
        ("nlvideo.models.sources.find_builder", {"path": "os.system"}),
        ("torchvision.models.video.r3d_18", {"weights": "DEFAULT"}),
        ("pytorchvideo.models.hub.slow_r50", {"pretrained": True}),
        ("timm.models.create_model", {"model_name": "hf-hub:someone/evil"}),
        ("torchvision.models.get_model", {"name": "../evil"}),
        (["os.system"], {}),
        ("torchvision.models.video.r3d_18", {"norm": {"class_path": "os.system", "init_args": {}}}),
    ],
)
def test_a_record_names_models_of_libraries_only_and_loads_nothing(model, kwargs, monkeypatch):
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", lambda *args, **kwargs: pytest.fail("a download"))
    node = {"class_path": "AnyModel", "init_args": {"model": model, "kwargs": kwargs}}
    with pytest.raises(ValueError, match="net"):
        rebuild(node, known_classes())


MY_NET = """
from os import system

from torch import nn


def make(width=4):
    return nn.Sequential(
        nn.Sequential(nn.Conv3d(3, width, 3, stride=2), nn.BatchNorm3d(width), nn.ReLU()),
        nn.Sequential(nn.Sequential(nn.Conv3d(width, width, 1), nn.ReLU()), nn.Sequential(nn.Conv3d(width, width, 1))),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(width, 10),
    )
"""


@pytest.fixture(scope="module")
def my_run(tmp_path_factory, tiny):
    """A run of a user's network with a block, tested with lesions, in a folder with its file."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "my_net.py").write_text(MY_NET)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        base = [argument for argument in tiny if "after" not in argument]
        net = ["--model.net=AnyModel", "--model.net.model=my_net.make", "--model.net.kwargs={width: 6}"]
        net += ["--model.net.after.at={'1': 1}", "--model.activation_checkpoint_stages=['1']"]
        assert main(["fit", *base, *net, "--trainer.max_epochs=1", "--runs_dir=.", "--name=run"]) == 0
        test = ["test", "-c", "run/config.yaml", "--ckpt_path=run/last.ckpt", "--lesion", "each"]
        assert main(test) == 0
        yield folder


def test_a_net_of_the_user_is_trained_tested_and_lesioned(my_run):
    levels = json.loads((my_run / "run" / "test.json").read_text())
    assert "video" in json.dumps(levels)
    assert "1.1-off" in json.dumps(levels)


def test_its_checkpoint_needs_trust_and_then_predicts_attends_and_exports(
    my_run, monkeypatch, capsys, visitors, run_tool
):
    monkeypatch.chdir(my_run)
    video = str(next(visitors.rglob("*.mp4")))
    assert main(["predict", video, "--ckpt_path=run/last.ckpt"]) == 1
    assert "--import my_net" in capsys.readouterr().err
    trust = ["--ckpt_path=run/last.ckpt", "--import=my_net"]
    assert main(["predict", video, *trust]) == 0
    assert main(["attend", video, *trust, "-o", "maps"]) == 0
    run_tool("export.py", "run/last.ckpt", "-o", "net.pt2", "--import=my_net")
    net = checkpoint.load("run/last.ckpt", trusted_modules=["my_net"])
    clips = torch.randn(3, 3, net.preprocessing["clip_frames"], *[net.preprocessing["crop_size"]] * 2)
    torch.testing.assert_close(torch.export.load("net.pt2").module()(clips), net(clips))
    with pytest.raises(ValueError, match="does not define"):  # what the module imported is not its own
        node = {"class_path": "AnyModel", "init_args": {"model": "my_net.system", "kwargs": {"command": "true"}}}
        rebuild(node, known_classes(["my_net"]))


def test_sliding_protocols_and_clips_that_do_not_fit_are_refused_before_a_video_is_read(my_run, monkeypatch, capsys):
    monkeypatch.chdir(my_run)
    test = ["test", "-c", "run/config.yaml", "--ckpt_path=run/last.ckpt"]
    assert main([*test, "--data.protocol=nln"]) == 1
    assert "AnyModel has no head that slides" in capsys.readouterr().err
    assert main([*test, "--data.clip_frames=1"]) == 1
    assert "my_net.make does not take 1 frames of" in capsys.readouterr().err


def test_places_lists_what_at_takes(my_run, monkeypatch, capsys):
    monkeypatch.chdir(my_run)
    assert main(["places", "-c", "run/config.yaml"]) == 0
    printed = capsys.readouterr().out
    assert "1.0" in printed
    assert "NonLocal" in printed


def test_blocks_are_described_by_stage():
    with torch.device("meta"):
        net = AnyModel(
            **R3D, after={"a": Insert(NonLocal, {"layer2": 2}), "b": Insert(SqueezeExcite, "layer4.0.conv1")}
        )
    assert describe_blocks(net) == "NonLocal layer2[0, 1]; SqueezeExcite layer4[0]"
    assert list(block_places(net)) == ["layer2.0", "layer2.1", "layer4.0"]
