import pytest
import torch

from nlvideo.__main__ import main
from nlvideo.models import ResNet3d
from nlvideo.training.sanity_checks import refuse_short_clips


def test_convolutions_over_more_frames_than_there_are_do_not_train():
    net = ResNet3d("i3d", [1, 1, 1, 1], 5, width=4)
    refuse_short_clips(net)
    net(torch.randn(1, 3, 8, 16, 16))  # res3 gets four frames
    with pytest.raises(ValueError, match=r"over 5 frames .* only 4 are left; use longer clips"):
        net(torch.randn(1, 3, 4, 16, 16))
    net.eval()(torch.randn(1, 3, 4, 16, 16))


def test_a_run_says_so_in_a_line(tiny, tmp_path, capsys):
    arguments = ["--model.net.arch=i3d", "--data.clip_frames=4", "--trainer.precision=bf16-mixed"]
    assert main(["fit", *tiny, *arguments, f"--runs_dir={tmp_path}"]) == 1
    assert "use longer clips" in capsys.readouterr().err.strip().splitlines()[-1]
