"""tools/convert_checkpoint.py, and what users do with what it wrote."""

import importlib.util
import sys
from pathlib import Path

import pytest

import nlvideo
from nlvideo.__main__ import main

TOOLS = Path(__file__).parents[2] / "tools"


def run_tool(name, *arguments):
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, arguments)])
        return module.main()


def test_convert_then_evaluate_count_and_fine_tune(foreign_net, clip, tiny, visitors, tmp_path, capsys):
    theirs = foreign_net("mmaction2", "i3d", at={3: (1,)})
    theirs(clip())
    source, ours, config = (tmp_path / name for name in ("theirs.pth", "ours.ckpt", "ours.yaml"))
    theirs.save(source)
    names = ["a", "b", "c", "d", "e"]
    (tmp_path / "names.txt").write_text("\n".join(names))
    choices = ("--set", "temporal_stride=1", "--set", "pairwise=dot_product", "--classes", tmp_path / "names.txt")
    assert run_tool("convert_checkpoint", source, "-o", ours, *choices) == 0
    assert "mmaction2" in capsys.readouterr().out
    net = nlvideo.load(ours)
    assert net.class_names == names
    assert net.preprocessing["mean"] == [0.485, 0.456, 0.406]

    data = [*tiny, "-c", str(config), "--data.clip_frames=8", f"--runs_dir={tmp_path}", "--name=tuned"]
    manifest = tmp_path / "five.csv"  # away from classes.txt, which names four
    videos = sorted((visitors / "val").iterdir())[:2]
    manifest.write_text("path,label\n" + "".join(f"{video},4\n" for video in videos))
    five = [f"--data.{split}={manifest}" for split in ("train", "val")]
    assert main(["test", *data, *five, "--data.num_classes=5", f"--ckpt_path={ours}"]) == 0
    assert (tmp_path / "tuned" / "test.json").is_file()
    assert run_tool("cost", "-c", config) == 0

    assert main(["fit", *data, "--data.num_classes=4", f"--ckpt_path={ours}"]) == 1
    assert f"start from it with --model.init_from {ours}" in capsys.readouterr().err
    assert main(["fit", *data, "--data.num_classes=4", "--trainer.max_epochs=1", f"--model.init_from={source}"]) == 0
    assert "dropped  2 tensors: blocks.6.proj (5 there, 4 here)" in capsys.readouterr().out


def test_errors_are_a_line(tmp_path, capsys):
    assert run_tool("convert_checkpoint", tmp_path / "gone.pth", "-o", tmp_path / "x.ckpt") == 1
    assert run_tool("export", tmp_path / "gone.ckpt", "-o", tmp_path / "x.onnx") == 1
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == ["convert_checkpoint", "export"]
