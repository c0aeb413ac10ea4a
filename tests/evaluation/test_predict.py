"""Scores by the second, against clips cut and scored one by one."""

import json

import numpy as np
import pytest
import torch

import nlvideo
from nlvideo.__main__ import main
from nlvideo.data.prepare.encode import write_video
from nlvideo.data.video import Video


@pytest.fixture(scope="module")
def changing(tmp_path_factory):
    """A video of 40 seconds at 4 frames a second, dark and then bright."""
    path = tmp_path_factory.mktemp("long") / "changing.mp4"
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(0, 60, (160, 8, 8, 3)), 8, axis=1).repeat(8, axis=2)
    frames[80:] += 180
    write_video(path, frames.astype(np.uint8), 4)
    return path


def test_each_second_has_the_score_of_its_clip(trained, changing, capsys):
    assert main(["predict", str(changing), f"--ckpt_path={trained / 'last.ckpt'}", "--per_second", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert len(result["seconds"]) == 40  # more than are read at once

    net = nlvideo.load(trained / "last.ckpt")
    frames = Video(changing).frames(np.arange(160))
    for second in (0, 17, 39):
        start = min(max(int(second * 4 + 2 - 57 / 2), 0), 160 - 57)  # 8 frames, stride 8
        clip = frames[start : start + 57 : 8].transpose(0, 1)
        with torch.no_grad():
            expected = net((clip[None] / 255 - 0.45) / 0.225)[0].softmax(dim=0)
        shown = {row["class"]: row["score"] for row in result["seconds"][second]}
        assert shown == pytest.approx(dict(zip(net.class_names, expected.tolist(), strict=True)), abs=1e-5)


def test_stretches_of_seconds_are_shown(trained, changing, capsys):
    assert main(["predict", str(changing), f"--ckpt_path={trained / 'last.ckpt'}", "--per_second"]) == 0
    shown = capsys.readouterr().out
    assert "0 to" in shown
    assert "to 40" in shown


def test_a_setting_without_effect_is_refused(trained, changing, capsys):
    options = [f"--ckpt_path={trained / 'last.ckpt'}", "--per_second", "--num_clips=3"]
    assert main(["predict", str(changing), *options]) == 1
    assert "--num_clips has no effect with --per_second" in capsys.readouterr().err


BAD_OPTIONS = {
    "--num_clips=0": "--num_clips 0: expected at least 1",
    "--num_crops=0": "--num_crops 0: expected at least 1",
    "--top=0": "--top 0: expected at least 1",
    "--device=foo": "--device foo: Expected one of cpu, cuda",
    "--device=cuda": "--device cuda: ",
}


@pytest.mark.parametrize("option", BAD_OPTIONS)
def test_a_bad_option_is_one_line(option, trained, changing, capsys):
    if option == "--device=cuda" and torch.cuda.is_available():
        pytest.skip("needs a machine without a GPU")
    assert main(["predict", str(changing), f"--ckpt_path={trained / 'last.ckpt'}", option]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"nlvideo: {BAD_OPTIONS[option]}")
