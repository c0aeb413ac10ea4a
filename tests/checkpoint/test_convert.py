"""Other codebases' weights give other codebases' numbers, and what does not fit is an error."""

import pickle
from dataclasses import replace

import pytest
import torch
from pytorchvideo.layers.nonlocal_net import create_nonlocal
from pytorchvideo.models.hub.resnet import c2d_r50, i3d_r50
from safetensors.torch import save_file
from torch import nn
from torchvision.models import resnet18

from nlvideo.checkpoint import codebases, convert
from nlvideo.checkpoint.codebases import TORCHVISION
from nlvideo.checkpoint.files import read_file

R50, R101 = (3, 4, 6, 3), (3, 4, 23, 3)
NL5, NL5_R101 = {3: (1, 3), 4: (1, 3, 5)}, {3: (1, 3), 4: (6, 13, 20)}
TWO = {3: (1,), 4: (0,)}
DOT = {"pairwise": "dot_product"}

CASES = {
    "nln c2d r50": ({"source": "nln", "depths": R50}, {}),
    "nln c2d r50 nl5": ({"source": "nln", "depths": R50, "at": NL5}, {}),
    "nln i3d r101 nl5": ({"source": "nln", "arch": "i3d", "depths": R101, "at": NL5_R101}, {}),
    "nln i3d affine": ({"source": "nln", "arch": "i3d", "at": TWO, "affine": True}, {}),
    "nln 32x2 dot, no bias": (
        {"source": "nln", "at": TWO, "long_form": True, "nl_bias": False, **DOT},
        {"temporal_stride": 4, **DOT},
    ),
    "nln 3x3x3, no pool": (
        {"source": "nln", "arch": "i3d_3x3x3", "at": TWO, "subsample": False},
        {"subsample": False},
    ),
    "slowfast i3d r50": ({"source": "slowfast", "arch": "i3d", "depths": R50}, {}),
    "slowfast i3d r50 nl5": ({"source": "slowfast", "arch": "i3d", "depths": R50, "at": NL5}, {}),
    "slowfast dot": ({"source": "slowfast", "at": TWO, **DOT}, DOT),
    "mmaction2 c2d r50": ({"source": "mmaction2", "depths": R50}, {}),
    "mmaction2 i3d r50 nl5": (
        {"source": "mmaction2", "arch": "i3d", "depths": R50, "at": NL5, "long_form": True},
        {},
    ),
    **{
        f"mmaction2 {pairwise}": (
            {
                "source": "mmaction2",
                "arch": "i3d",
                "at": TWO,
                "pairwise": pairwise,
                "subsample": pairwise != "gaussian",
            },
            {"temporal_stride": 1, **({} if pairwise in ("gaussian", "concatenation") else {"pairwise": pairwise})},
        )
        for pairwise in ("embedded_gaussian", "dot_product", "gaussian", "concatenation")
    },
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_logits(case, foreign_net, clip, tmp_path):
    built, overrides = CASES[case]
    frames = 16 if built.get("long_form") else 32 if built.get("affine") else 8
    theirs, video = foreign_net(**built), clip(frames)
    expected = theirs(video)
    net = convert(theirs.save(tmp_path / "weights"), **overrides)
    with torch.no_grad():
        torch.testing.assert_close(net.double()(video), expected, rtol=1e-4, atol=1e-4)

    config = net.config()["init_args"]
    depth = {R50: 50, R101: 101}.get(theirs.depths, list(theirs.depths))
    assert (config["arch"], config["depth"], config["width"]) == (theirs.arch, depth, theirs.width)
    if theirs.affine:
        in_res3, others = config["after"].values()
        assert (in_res3["at"], others["at"]) == ({"res3": [1]}, {"res4": [0]})
        assert in_res3["block"]["init_args"]["temporal_groups"] == 4
    elif theirs.at:
        assert config["after"]["main"]["at"] == {f"res{stage}": list(where) for stage, where in theirs.at.items()}


@pytest.mark.parametrize("at", [{}, {3: 1, 4: 0}], ids=["plain", "non-local"])
@pytest.mark.parametrize(("make", "arch"), [(c2d_r50, "c2d"), (i3d_r50, "i3d")])
def test_the_same_logits_as_pytorchvideo(make, arch, at, clip, tmp_path):
    torch.manual_seed(0)
    theirs = make(model_depth=50, stem_dim_out=4, model_num_class=5, head_pool_kernel_size=(4, 2, 2))
    for stage, i in at.items():
        blocks = theirs.blocks[stage].res_blocks
        channels = 4 * 4 << (stage - 2)
        added = create_nonlocal(dim_in=channels, dim_inner=channels // 2, pool_size=(1, 2, 2))
        blocks[i] = nn.Sequential(blocks[i], added)
    for name, buffer in theirs.state_dict().items():
        if name.endswith(("norm.weight", "norm_c.weight", "running_var")):
            buffer.uniform_(0.5, 1)
    torch.save(
        {"model_state": {f"model.{name}": weight for name, weight in theirs.state_dict().items()}}, tmp_path / "x"
    )
    net, video = convert(tmp_path / "x"), clip()
    with torch.no_grad():
        torch.testing.assert_close(net.double()(video), theirs.double().eval()(video), rtol=1e-4, atol=1e-4)
    assert net.config()["init_args"]["arch"] == arch


def test_an_image_network_becomes_a_video_network(tmp_path):
    """torchvision and timm; every frame of a C2D sees what the image network sees."""
    theirs = resnet18(num_classes=5).eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        logits = convert(tmp_path / "resnet18.pth")(image[:, :, None].expand(-1, -1, 4, -1, -1))
        torch.testing.assert_close(logits, theirs(image), rtol=1e-4, atol=1e-4)
    inflated = convert(tmp_path / "resnet18.pth", arch="i3d")
    assert inflated.blocks[0].conv.weight.shape == (64, 3, 5, 7, 7)
    assert inflated.preprocessing["mean"] == [0.485, 0.456, 0.406]


def test_a_new_codebase_is_one_entry(monkeypatch, tmp_path):
    mine = replace(
        TORCHVISION,
        name="mine",
        stem={"encoder/conv1": "conv", "encoder/bn1": "norm"},
        head="encoder/fc",
        block=r"encoder/layer(?P<stage>\d)\.(?P<index>\d+)\.",
    )
    theirs = {f"encoder/{name}": weight for name, weight in resnet18(num_classes=5).state_dict().items()}
    torch.save(theirs, tmp_path / "x")
    with pytest.raises(ValueError, match="x: no codebase known here"):
        convert(tmp_path / "x")
    monkeypatch.setattr(codebases, "CODEBASES", [*codebases.CODEBASES, mine])
    net = convert(tmp_path / "x", pool1="unpadded")
    assert net.conversion.startswith(f"mine: {len(theirs)} weights, all of them used")
    torch.testing.assert_close(net.blocks[0].conv.weight[:, :, 0], theirs["encoder/conv1.weight"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"pool1": "unpadded"},
        {"temporal_stride": 4},
        {"pool_after_projection": False},
        {"scale": True},
        {"pairwise": "dot_product"},
    ],
    ids=str,
)
def test_a_convention_makes_a_difference(wrong, foreign_net, clip, tmp_path):
    """Or the tests above would prove nothing."""
    theirs, video = foreign_net("mmaction2", "i3d", at=TWO), clip()
    expected = theirs(video)
    net = convert(theirs.save(tmp_path / "x"), **{"temporal_stride": 1, **wrong}).double()
    with torch.no_grad():
        assert (net(video) - expected).abs().max() > 1e-3


def test_the_file_says_its_pairwise_function(foreign_net, clip, tmp_path):
    theirs = foreign_net("slowfast", at=TWO, pairwise="dot_product")
    theirs(clip())
    net = convert(theirs.save(tmp_path / "x.pyth", cfg="NONLOCAL:\n  INSTANTIATION: dot_product\n"))
    assert net.config()["init_args"]["after"]["main"]["block"]["init_args"]["pairwise"] == "dot_product"


def test_the_report_explains_every_entry(foreign_net, clip, tmp_path):
    theirs = foreign_net("nln", at=TWO)
    theirs(clip())
    report = convert(theirs.save(tmp_path / "x.pkl")).conversion
    num_weights = len(theirs.state)
    assert f"{num_weights} weights, all of them used" in report
    assert f"{num_weights} not needed: the optimiser's momentum" in report
    assert "2 not needed: the optimiser's state" in report
    assert "set to 0 that video-nonlocal-net does not keep: counters of batches" in report
    assert "temporal_stride 1, pool1 unpadded, pairwise embedded_gaussian, scale True" in report


ERRORS = {
    "unexplained": (lambda state: state.update({"res2_0_branch3_w": torch.ones(1)}), {}, "no place .*res2_0_branch3_w"),
    "missing": (lambda state: state.pop("res4_1_branch2b_w"), {}, r"res_blocks\.1\.branch2\.conv_b\.weight is missing"),
    "shape": (lambda state: state.update(res3_0_branch2b_w=torch.ones(16, 8, 1, 3, 3)), {}, "16x8x1x3x3 there"),
    "no matrix": (
        lambda state: state.update(pred_w=torch.ones(())),
        {},
        r"proj\.weight: expected 2 dimensions, got .* \[\]",
    ),
    "truth values": (lambda state: state.update(pred_b=torch.ones(5) > 0), {}, r"blocks\.6\.proj\.bias is missing"),
    "headless": (lambda state: [state.pop(f"pred_{each}") for each in "wb"], {}, "init_from"),
    "foreign": (lambda state: state.pop("conv1_w"), {}, "no codebase known here"),
    "override": (
        lambda state: None,
        {"width": 8},
        "width: not to be chosen for these weights; expected temporal_stride, pool1, dropout",
    ),
    "no blocks": (lambda state: None, {"pairwise": "gaussian"}, "pairwise: not to be chosen"),
    "no groups": (lambda state: None, {"temporal_groups": 2}, "temporal_groups: not to be chosen"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_does_not_fit_is_an_error_that_names_it(case, foreign_net, clip, tmp_path):
    spoil, overrides, words = ERRORS[case]
    theirs = foreign_net("nln")
    theirs(clip())
    spoil(theirs.state)
    with pytest.raises(ValueError, match=words):
        convert(theirs.save(tmp_path / "x.pkl"), **overrides)


class Payload:
    """Pickles as a call of a function: what a malicious file does."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("write", ["pickle", "torch"])
def test_a_malicious_file_is_refused(write, tmp_path):
    path, written = tmp_path / "evil", tmp_path / "written"
    content = {"blobs": {"conv1_w": Payload(open, str(written), "w")}}
    torch.save(content, path) if write == "torch" else path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(ValueError, match=r"evil: cannot be loaded safely.*open"):
        convert(path)
    assert not written.exists()


def test_safetensors_as_timm_publishes(tmp_path):
    path, state = (
        tmp_path / "model.safetensors",
        {"fc.weight": torch.randn(2, 3), "bn.weight": torch.ones(3).bfloat16()},
    )
    save_file(state, path, metadata={"a": "b"})
    torch.testing.assert_close(read_file(path), state, rtol=0, atol=0)
    content = path.read_bytes()
    for damaged in (b"\xff" * 20, content[:-1], content[:5], b""):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"model\.safetensors: not a safetensors file, or a damaged one"):
            read_file(path)


def test_a_name_that_is_a_number_and_a_config_that_is_none_are_no_weights(foreign_net, clip, tmp_path):
    theirs = foreign_net("slowfast")
    theirs(clip())
    theirs.state[3] = torch.ones(1)
    for cfg in ("NONLOCAL: {INSTANTIATION: [softmax]}", "[" * 100_000, "a: [", "3"):
        assert "not weights: 3, cfg, epoch" in convert(theirs.save(tmp_path / "x.pyth", cfg=cfg)).conversion
