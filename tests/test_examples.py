"""examples/: each command of your_videos.md runs, on encoded videos; your_block.py keeps the equation."""

import re
import shlex
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from pytorchvideo.models.hub import c2d_r50

from nlvideo.__main__ import main
from nlvideo.ablation import execute
from nlvideo.blocks import NonLocal
from nlvideo.configuration import configuration
from nlvideo.cost.tables import NetworkSpec
from nlvideo.evaluation.predictions import read_predictions
from nlvideo.models.placed_blocks import placed_blocks
from nlvideo.training import run_folder

ROOT = Path(__file__).parents[1]

# Appended: a network a sixteenth as wide, small clips, fewer pictures.
TINY = [
    "--model.net.width=4",
    "--data.clip_frames=2",
    "--data.frame_interval=4",
    "--data.short_side=null",
    "--data.crop_size=32",
    "--data.eval_short_side=null",
    "--data.batch_size=4",
    "--data.eval_batch_size=1",
    "--data.num_workers=0",
    "--data.num_clips=2",
    "--data.num_crops=1",
    "--data.test_crop_size=null",
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=1",
    "--trainer.log_every_n_steps=1",
]
APPENDED = {
    "fit": TINY,
    "ablate": ["--seeds=0", *TINY],
    "places": ["--model.net.depth=[1, 1, 1, 1]"],
    "attend": ["--block=res4.1", "--num_queries=1"],
    "report": ["--videos=0"],
}


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "examples" / "your_videos.md").read_text(), flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def run_here(arguments, log, environment, shown) -> str | None:
    """A run of a sweep, in this process, which saves the imports."""
    return None if main(list(arguments)) == 0 else "failed"


@pytest.fixture(scope="module")
def folder(visitors, tmp_path_factory) -> Path:
    """A working directory with a folder of videos for each class, another video, and weights of Kinetics."""
    folder = tmp_path_factory.mktemp("yours")
    for i, name in enumerate(("cat", "dog")):
        (folder / "videos" / name).mkdir(parents=True)
        for number, video in enumerate(sorted((visitors / "train").glob("*.mp4"))[4 * i : 4 * i + 4], start=1):
            shutil.copy(video, folder / "videos" / name / f"{name}_{number:02d}.mp4")
    shutil.copy(next((visitors / "val").glob("*.mp4")), folder / "new.mp4")
    for name in ("configs", "tools", "examples"):
        (folder / name).symlink_to(ROOT / name)
    torch.save({"model_state": c2d_r50(stem_dim_out=4).state_dict()}, folder / "C2D_8x8_R50.pyth")
    return folder


def test_your_videos(folder, monkeypatch, run_tool, capsys):
    monkeypatch.chdir(folder)
    for name in ("stage_table", "plot_curves"):  # they take longer than the training
        monkeypatch.setattr(run_folder, name, lambda *arguments: "")
    monkeypatch.setattr(execute, "Runner", partial(execute.Runner, launch=run_here))
    for command in commands():
        program, *arguments = shlex.split(command)
        if program == "python":
            run_tool(arguments[0].removeprefix("tools/"), *arguments[1:])
        else:
            assert main([*arguments, *APPENDED.get(arguments[0], [])]) == 0, capsys.readouterr().err

    assert read_predictions(folder / "runs" / "mine" / "predictions.parquet").labels.tolist() == [
        0,
        1,
        1,
    ]  # a part by hash
    rows = (folder / "runs" / "does_it_help" / "results.md").read_text()
    assert "| none " in rows
    assert "| nl5 " in rows
    written = (
        "maps/attention.json",
        "stats/attention_stats.md",
        "transcoded/all.clean.csv",
        "mine.html",
        "does_it_help.html",
        "runs/mine-without/test.json",
    )
    for path in written:
        assert (folder / path).is_file(), path


def test_your_block(folder, monkeypatch):
    """It is named on the command line, shares one map among all positions, and adds nothing at first."""
    monkeypatch.chdir(folder)
    named = "--model.net.after.block=examples.your_block.GlobalContext"
    net = NetworkSpec.of(configuration(["-c", "configs/demo.yaml", named])).net
    assert placed_blocks(net) == {"GlobalContext": {"res3": [0, 1], "res4": [1]}}
    block = type(net.residual_blocks()["res4"][1].after)(8, reduction=2)
    x = torch.randn(2, 8, 3, 4, 5)
    assert torch.equal(block(x), x)

    torch.nn.init.normal_(block.transform[-1].weight)
    added = block(x) - x
    assert torch.allclose(added, added[:, :, :1, :1, :1].expand_as(x), atol=1e-6)
    flat = x.flatten(2)  # (B, C, N)
    weights = torch.einsum("c,bcn->bn", block.key.weight[0], flat).softmax(dim=1)  # the bias of w_k cancels
    context = torch.einsum("bn,bcn->bc", weights, flat)
    assert torch.allclose(added[:, :, 0, 0, 0], block.transform(context), atol=1e-5)
    assert sum(p.numel() for p in block.parameters()) < sum(p.numel() for p in NonLocal(8).parameters())
