"""What a user types about blocks and their places reaches the network."""

import re

import pytest
import yaml

from nlvideo import load
from nlvideo.__main__ import main
from nlvideo.models import Backbone, DualAttentionHead
from nlvideo.models.placed_blocks import placed_blocks
from nlvideo.parser import Parser

SMALL = ["--net=ResNet3d", "--net.depth=[1, 2, 2, 1]", "--net.width=4", "--net.num_classes=5"]
DUAL = "{block: {class_path: DualAttention, init_args: {time_kernel: 3}}, at: {res5: 1}}"
SEVERAL = f"{{early: {{block: NonLocal, at: {{res3: 2}}}}, late: {DUAL}}}"
BOTH = {"NonLocal": {"res3": [0, 1]}, "DualAttention": {"res5": [0]}}


def parsed(*arguments):
    """The network; what --print_config writes of it is read again, and must be the same."""
    parser = Parser(exit_on_error=False)
    parser.add_argument("-c", action="config")
    parser.add_argument("--net", type=Backbone)
    config = parser.parse_args([*SMALL, *map(str, arguments)])
    printed = parser.dump(config, skip_unset=False)
    assert parser.dump(parser.parse_string(printed), skip_unset=False) == printed
    return parser.instantiate(config).net


def test_dotted_overrides_of_one_kind():
    net = parsed("--net.after.at={res3: [1]}", "--net.after.block.pairwise=dot_product")
    assert placed_blocks(net) == {"NonLocal": {"res3": [1]}}
    assert net.stages()["res3"].res_blocks[1].after.pairwise == "dot_product"


def test_another_kind_with_its_options():
    net = parsed("--net.after.at={res4: 1}", "--net.after.block=DualAttention", "--net.after.block.time_kernel=3")
    assert placed_blocks(net) == {"DualAttention": {"res4": [1]}}
    assert net.stages()["res4"].res_blocks[1].after.branches.position_in[0].kernel_size == (3, 3, 3)


def test_several_kinds():
    net = parsed(f"--net.after={SEVERAL}", "--net.branch.at=all")
    everywhere = {"res2": [0], "res3": [0, 1], "res4": [0, 1], "res5": [0]}
    assert placed_blocks(net) == {**BOTH, "SqueezeExcite at branch": everywhere}


@pytest.fixture
def bases(tmp_path):
    """Recipes whose networks have no, one and several kinds of blocks."""
    contents = {
        "no": "none",
        "one": {"block": {"class_path": "NonLocal", "init_args": {"pairwise": "gaussian"}}, "at": {"res3": 2}},
        "several": yaml.safe_load(SEVERAL),
        "change": {"late": {"at": {"res4": [0]}}},
    }
    for name, after in contents.items():
        net = {"class_path": "ResNet3d", "init_args": {"after": after}}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"net": net}))
    return {name: f"-c={tmp_path / name}.yaml" for name in contents}


@pytest.mark.parametrize(
    ("files", "overrides", "expected"),
    [
        ("no", ["--net.after.at={res4: 1}"], {"NonLocal": {"res4": [1]}}),
        ("one", ["--net.after.at={res4: 1}"], {"NonLocal": {"res4": [1]}}),
        ("one", ["--net.after={at: {res4: 1}}"], {"NonLocal": {"res4": [1]}}),
        ("one", ["--net.after.block=DualAttention"], {"DualAttention": {"res3": [0, 1]}}),
        ("one", ["--net.after.x.block=DualAttention", "--net.after.x.at={res5: 1}"], BOTH),
        ("several", [], BOTH),
        ("several", ["--net.after.early.at=none"], {"DualAttention": {"res5": [0]}}),
        ("several", ["--net.after={early: {at: none}}"], {"DualAttention": {"res5": [0]}}),
        ("several", ["--net.after.late.block=NonLocal"], {"NonLocal": {"res3": [0, 1], "res5": [0]}}),
        ("several change", [], {**BOTH, "DualAttention": {"res4": [0]}}),
        ("several", ["--net.after=none", "--net.after.at={res4: 1}"], {"NonLocal": {"res4": [1]}}),
        ("one no", [], {}),
        ("one no several", [], BOTH),
        ("one", ["--net.after={main: {at: none}, x: {block: NonLocal, at: {res4: 1}}}"], {"NonLocal": {"res4": [1]}}),
        *((files, ["--net.after=none"], {}) for files in ("no", "one", "several", "several change")),
    ],
)
def test_each_key_changes_the_kind_of_block_that_it_names(files, overrides, expected, bases):
    net = parsed(*(bases[name] for name in files.split()), *overrides)
    assert placed_blocks(net) == expected


def test_options_of_one_kind_and_of_one_among_several(bases):
    block = parsed(bases["one"], "--net.after.block.subsample=false").residual_blocks()["res3"][0].after
    assert (block.pairwise, block.grouping.subsample) == ("gaussian", False)
    net = parsed(bases["several"], "--net.after.early.block.pairwise=concatenation")
    assert net.residual_blocks()["res3"][0].after.pairwise == "concatenation"
    assert net.residual_blocks()["res5"][0].after.branches.position_in[0].kernel_size == (3, 3, 3)


@pytest.mark.parametrize(
    ("files", "override", "words"),
    [
        ("several", "--net.after.at=none", "after.at: .* give after.early.at or after.late.at, or 'after none' for"),
        ("several", "--net.after={at: none}", "after.at: there are several kinds of blocks; give after.early.at or"),
        ("several", "--net.after.block.bias=false", "give after.early.block.bias or after.late.block.bias"),
        ("one several", "--net.width=4", "should main stand beside early and late"),
        ("several one", "--net.width=4", "after.at: there are several kinds of blocks; give after.early.at or"),
        ("several", "--net.after.erly.at=none", "no kind of blocks 'erly'; expected early or late, or first"),
        ("several", "--net.after={erly: {at: none}}", "no kind of blocks 'erly'; expected early or late, or first"),
        ("one", "--net.after.blok.bias=false", "no kind of blocks 'blok'; expected main"),
        ("one", "--net.after=nl5", "after: expected none, {at: nl5} or kinds of blocks by name, got 'nl5'"),
        ("several", "--net.after.a-b.block=NonLocal", "'a-b' cannot name a kind of block"),
    ],
)
def test_a_key_that_names_no_kind_or_several_is_an_error(files, override, words, bases, capsys):
    with pytest.raises((SystemExit, ValueError)) as raised:
        parsed(*(bases[name] for name in files.split()), override)
    assert re.search(words, f"{raised.value} {capsys.readouterr().err}")


@pytest.mark.parametrize(
    ("option", "position"), [("standard", "branch"), ("pre", "pre"), ("post", "post"), ("identity", "identity")]
)
def test_positions_of_squeeze_excite(option, position):
    net = parsed("--net.branch.at={res3: 1}", f"--net.branch_position={option}", "--net.branch.block.reduction=2")
    assert placed_blocks(net) == {f"SqueezeExcite at {position}": {"res3": [1]}}
    assert net.stages()["res3"].res_blocks[1].get_submodule(position).fc1.out_features == 16


def test_the_head():
    head = parsed("--net.head=DualAttentionHead", "--net.head.auxiliary=true").stages()["head"]
    assert isinstance(head, DualAttentionHead)
    assert head.proj_position is not None


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model.net.branch.at=all"],
        ["--model.net.branch.at=all", "--model.net.arch=i3d", "--model.net.branch_position=identity"],
        ["--model.net.after=none", f"--model.net.after={SEVERAL}", "--model.net.head=DualAttentionHead"],
    ],
    ids=["SE-C2D", "SE-I3D", "several kinds"],
)
def test_networks_with_these_blocks_train(arguments, tiny, tmp_path):
    short = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"]
    assert main(["fit", *tiny, *arguments, *short, f"--runs_dir={tmp_path}", "--name=run"]) == 0
    assert type(load(tmp_path / "run" / "last.ckpt")).__name__ == "ResNet3d"
