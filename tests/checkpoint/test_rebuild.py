"""A checkpoint's record names classes: only those of nlvideo and of modules that the user names are built, and nothing
that stands in a record is imported or called."""

import sys
from functools import partial

import pytest
import torch

import nlvideo
from nlvideo import checkpoint
from nlvideo.__main__ import main
from nlvideo.blocks import NonLocal, SqueezeExcite
from nlvideo.checkpoint.rebuild import known_classes, rebuild
from nlvideo.models import DualAttentionHead, Insert
from tests.checkpoint.test_native import PREPROCESSING, narrow


def write(net, path, edit=None):
    """Write a checkpoint whose record `edit` has changed."""
    net.class_names, net.preprocessing = ["a", "b", "c"], PREPROCESSING
    checkpoint.save(net, path)
    if edit:
        content = torch.load(path, weights_only=True)
        edit(content["nlvideo"]["net"])
        torch.save(content, path)
    return path


def attack(class_path, init_args=None):
    return {"class_path": class_path, "init_args": init_args or {}}


def attacks(file):
    """Ways to ask for a call or an import: name -> (where in the record, what)."""
    shell = {"command": f"touch {file}"}
    opened = {"file": str(file), "mode": "w"}
    yield from {
        "net": ((), attack("os.system", shell)),
        "head": (("init_args", "head"), attack("os.system", shell)),
        "block in after": (("init_args", "after", "main", "block"), attack("os.system", shell)),
        "block in branch": (("init_args", "branch", "block"), attack("os.system", shell)),
        "list of inserts": (("init_args", "after"), [{"block": attack("os.system", shell), "at": {"res3": 1}}]),
        "named inserts": (("init_args", "after"), {"mine": {"block": attack("os.system", shell), "at": "nl1"}}),
        "nested": (("init_args", "head"), attack("nlvideo.models.head.Head", {"x": attack("os.system", shell)})),
        "builtin": (("init_args", "head"), attack("builtins.open", opened)),
        "eval": (("init_args", "head"), attack("builtins.eval", {"source": f"open({str(file)!r}, 'w')"})),
        "partial": (("init_args", "head"), attack("functools.partial", {"func": "os.system"})),
        "module of ours": (("init_args", "head"), attack("nlvideo.cli.os.system", shell)),
        "torch of ours": (("init_args", "head"), attack("nlvideo.blocks.base.nn.Module")),
        "pickle of ours": (("init_args", "head"), attack("nlvideo.checkpoint.files.pickle.loads")),
        "function of ours": (
            ("init_args", "head"),
            attack("nlvideo.files.write_text", {"path": str(file), "text": ""}),
        ),
        "class of ours": (("init_args", "head"), attack("nlvideo.training.run_folder.RunFolder")),
        "a package like ours": (("init_args", "head"), attack("nlvideo_evil.Head")),
        "import": (("init_args", "head"), attack("imported_by_attack.Block")),
        "import, deep": (("init_args", "width"), {"x": [{"y": attack("imported_by_attack.Block")}]}),
        "in an unknown key": (("init_args", "colour"), attack("imported_by_attack.Block")),
        "beside a known class": (("__orig__",), attack("imported_by_attack.Block")),
        "in dict_kwargs": (("dict_kwargs",), {"head": attack("imported_by_attack.Block")}),
        "text for a block": (("init_args", "after", "main", "block"), "os.system"),
        "text for a head": (("init_args", "head"), "imported_by_attack.Block"),
        "YAML for a head": (("init_args", "head"), "{class_path: imported_by_attack.Block}"),
        "text for an insert": (("init_args", "after"), "{block: imported_by_attack.Block, at: nl1}"),
        "text for the arguments": (("init_args",), "imported_by_attack.yaml"),
        "a list as class path": (("init_args", "head", "class_path"), ["imported_by_attack.Block"]),
        "a path of many parts": (("init_args", "head", "class_path"), "imported_by_attack." * 99 + "Block"),
        "another short name": (("init_args", "head", "class_path"), "RunFolder"),
        "a block for the network": ((), attack("NonLocal", {"channels": 4})),
        "a network for a block": (("init_args", "after", "main", "block"), attack("ResNet3d")),
        "recursion": (("init_args", "depth"), nest(5000)),
        "a tensor": (("init_args", "width"), torch.ones(())),
    }.items()


def nest(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


ATTACKS = [name for name, _ in attacks("")]


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_in_a_record_is_refused_before_anything_is_imported(name, tmp_path, monkeypatch):
    file = tmp_path / "written"
    (tmp_path / "imported_by_attack.py").write_text(f"open({str(file)!r}, 'w')")
    (tmp_path / "nlvideo_evil.py").write_text(f"open({str(file)!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    where, what = dict(attacks(file))[name]
    node = narrow(after=Insert(NonLocal, {"res3": 1})).config()
    if where:
        *parents, last = where
        parent = node
        for key in parents:
            parent = parent[key]
        parent[last] = what
    else:
        node = what
    modules = set(sys.modules)
    with pytest.raises((ValueError, TypeError, AttributeError, RecursionError)):
        rebuild(node, known_classes())
    assert not file.exists()
    assert not {"imported_by_attack", "nlvideo_evil"} & (set(sys.modules) - modules)


def test_a_refusal_says_how_to_trust_a_module(tmp_path, capsys):
    def edit(net):
        net["init_args"]["head"] = attack("os.system", {"command": "true"})

    path = write(narrow(), tmp_path / "x.ckpt", edit)
    with pytest.raises(
        ValueError, match=r"x\.ckpt: .*net\.head names 'os\.system'.* nothing .* imported .*--import os"
    ):
        nlvideo.load(path)
    assert main(["predict", "x.mp4", f"--ckpt_path={path}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "--import os" in line
    # A module that is trusted gives classes and no functions.
    with pytest.raises(ValueError, match=r"net\.head names 'os\.system'"):
        nlvideo.load(path, trusted_modules=["os"])


@pytest.mark.parametrize(
    "given",
    [
        {"after": Insert(partial(NonLocal, pairwise="dot_product"), {"res3": 1})},
        {
            "after": {"a": Insert(NonLocal, {"res4": 1}), "b": Insert(SqueezeExcite, {"res3": [0]})},
            "head": DualAttentionHead,
        },
        {"branch": Insert(partial(SqueezeExcite, reduction=2), "all"), "branch_position": "post"},
        {"head": partial(DualAttentionHead, auxiliary=True), "freeze_bn": "affine"},
    ],
    ids=["partial", "two kinds", "branch", "head"],
)
def test_a_record_gives_the_network_again(given):
    net = narrow(**given)
    again = rebuild(net.config(), known_classes())
    assert again.config() == net.config()
    again.load_state_dict(net.state_dict())
    assert [type(module) for module in again.modules()] == [type(module) for module in net.modules()]


def test_short_names_are_those_of_nlvideo():
    net = rebuild({"class_path": "ResNet3d", "init_args": {"head": attack("DualAttentionHead")}}, known_classes())
    assert type(net.blocks[-1]) is DualAttentionHead


MINE = """
from nlvideo.blocks import Block
from nlvideo.models import ResNet3d

class TwiceTheClip(Block):
    def __init__(self, channels, *, kernel: tuple[int, int] = (1, 1)):
        super().__init__(channels)
        self.kernel = kernel

    def forward_clip(self, x):
        return 2 * x

class Net(ResNet3d):
    def __init__(self, *, colour: str = "red", **kwargs):
        super().__init__(**kwargs)
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of the user with a block and a network."""
    (tmp_path / "my_blocks.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("my_blocks", None)


def test_a_module_that_the_user_names_is_trusted(mine, tmp_path, capsys, visitors):
    import my_blocks

    path = tmp_path / "mine.ckpt"
    block = partial(my_blocks.TwiceTheClip, kernel=(3, 1))
    net = my_blocks.Net(arch="c2d", depth=[1, 1, 1, 1], num_classes=3, width=4, after=Insert(block, {"res3": 1}))
    write(net, path)
    # It is in sys.modules here, and yet not trusted.
    with pytest.raises(ValueError, match=r"names 'my_blocks\.Net'.*--import my_blocks"):
        nlvideo.load(path)
    loaded = nlvideo.load(path, trusted_modules=["my_blocks"])
    assert loaded.blocks[3].res_blocks[0].after.kernel == (3, 1)
    video = str(sorted((visitors / "val").iterdir())[0])
    assert main(["predict", video, f"--ckpt_path={path}", "--num_clips=1", "--import", "my_blocks", "--json"]) == 0
    capsys.readouterr()
    assert main(["predict", video, f"--ckpt_path={path}", "--import=no_such_module"]) == 1
    assert "--import no_such_module: no such module" in capsys.readouterr().err


def test_a_command_line_names_blocks_of_an_imported_module(mine, tiny, capsys):
    options = ["--model.net.after.block=TwiceTheClip", "--model.net.after.at=nl1", "--print_config"]
    with pytest.raises(SystemExit) as end:
        main(["fit", *tiny, "--import", "my_blocks", *options])
    assert end.value.code == 0
    assert "class_path: my_blocks.TwiceTheClip" in capsys.readouterr().out
