"""What a user types about blocks and their places reaches the network."""

import pytest
from jsonargparse import ArgumentParser

from nlvideo import blocks, load
from nlvideo.__main__ import main
from nlvideo.models import Backbone, DualAttentionHead

SMALL = ["--net=ResNet3d", "--net.depth=[1, 2, 2, 1]", "--net.width=4", "--net.num_classes=5"]
DUAL = "{block: {class_path: DualAttention, init_args: {time_kernel: 3}}, at: {res5: 1}}"
SEVERAL = f"[{{block: NonLocal, at: {{res3: 2}}}}, {DUAL}]"


def parsed(*arguments):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--net", type=Backbone)
    return parser.instantiate(parser.parse_args([*SMALL, *arguments])).net


def filled(net, plug):
    """{"res3.1": "NonLocal"} and the like."""
    return {
        f"{stage}.{i}": type(getattr(block, plug)).__name__
        for stage in ("res2", "res3", "res4", "res5")
        for i, block in enumerate(net.stages()[stage].res_blocks)
        if isinstance(getattr(block, plug), blocks.Block)
    }


def test_dotted_overrides_of_one_kind():
    net = parsed("--net.after.at={res3: [1]}", "--net.after.block.pairwise=dot_product")
    assert filled(net, "after") == {"res3.1": "NonLocal"}
    assert net.stages()["res3"].res_blocks[1].after.pairwise == "dot_product"


def test_another_kind_with_its_options():
    net = parsed("--net.after.at={res4: 1}", "--net.after.block=DualAttention", "--net.after.block.time_kernel=3")
    assert filled(net, "after") == {"res4.1": "DualAttention"}
    assert net.stages()["res4"].res_blocks[1].after.branches.position_in[0].kernel_size == (3, 3, 3)


def test_several_kinds():
    net = parsed(f"--net.after={SEVERAL}", "--net.branch.at=all")
    assert filled(net, "after") == {"res3.0": "NonLocal", "res3.1": "NonLocal", "res5.0": "DualAttention"}
    assert set(filled(net, "branch").values()) == {"SqueezeExcite"}
    assert len(filled(net, "branch")) == 6


def test_a_dotted_override_changes_the_last_of_several():
    net = parsed(f"--net.after={SEVERAL}", "--net.after.at={res4: [0]}")
    assert filled(net, "after") == {"res3.0": "NonLocal", "res3.1": "NonLocal", "res4.0": "DualAttention"}


@pytest.mark.parametrize(
    ("position", "plug"), [("standard", "branch"), ("pre", "pre"), ("post", "post"), ("identity", "identity")]
)
def test_positions_of_squeeze_excite(position, plug):
    net = parsed("--net.branch.at={res3: 1}", f"--net.branch_position={position}", "--net.branch.block.reduction=2")
    assert filled(net, plug) == {"res3.1": "SqueezeExcite"}
    assert net.stages()["res3"].res_blocks[1].get_submodule(plug).fc1.out_features == 16


def test_the_head():
    head = parsed("--net.head=DualAttentionHead", "--net.head.auxiliary=true").stages()["head"]
    assert isinstance(head, DualAttentionHead)
    assert head.proj_position is not None


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model.net.branch.at=all"],
        ["--model.net.branch.at=all", "--model.net.arch=i3d", "--model.net.branch_position=identity"],
        [f"--model.net.after={SEVERAL}", "--model.net.head=DualAttentionHead"],
    ],
    ids=["SE-C2D", "SE-I3D", "several kinds"],
)
def test_networks_with_these_blocks_train(arguments, tiny, tmp_path):
    short = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"]
    assert main(["fit", *tiny, *arguments, *short, f"--runs_dir={tmp_path}", "--name=run"]) == 0
    assert type(load(tmp_path / "run" / "last.ckpt")).__name__ == "ResNet3d"
