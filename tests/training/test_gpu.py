"""Training on a CUDA device: going on where a run was stopped, checkpoints, mixup and decoding (NVDEC)."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from nlvideo.__main__ import main
from nlvideo.data.clips import Clips, mix_batch
from nlvideo.data.video import Video
from nlvideo.training.checkpoint_io import AtomicIO
from tests.training.test_resume import SMALLER

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_a_run_goes_on_as_if_it_had_not_stopped(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("nlvideo.training.run_folder.stage_table", lambda job: "costs")
    base = ["fit", *tiny, *SMALLER, f"--runs_dir={tmp_path}", "--trainer.accelerator=gpu", "--trainer.max_epochs=2"]
    assert main([*base, "--name=whole"]) == 0
    assert main([*base, "--name=parts", "--trainer.max_steps=4"]) == 0
    assert main([*base, "--name=rest", f"--ckpt_path={tmp_path / 'parts' / 'last.ckpt'}"]) == 0
    whole, rest = (torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("whole", "rest"))
    assert rest["global_step"] == whole["global_step"] == 6
    assert_close(rest["state_dict"], whole["state_dict"], rtol=0.05, atol=0.01)  # bfloat16, and kernels that differ


def test_a_checkpoint_is_copied_from_the_device_before_the_next_step(tmp_path):
    weight = torch.zeros(2**22, device="cuda")
    io = AtomicIO()
    io.save_checkpoint({"weight": weight}, tmp_path / "last.ckpt")
    weight.add_(1)
    io.wait()
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["weight"]
    assert saved.device.type == "cpu"
    assert not saved.any()


@pytest.mark.parametrize("alphas", [{"mixup": 0.4, "cutmix": 0}, {"mixup": 0, "cutmix": 1.0}], ids=["mixup", "cutmix"])
def test_clips_are_mixed_on_the_device(alphas):
    video = torch.stack([torch.full((1, 3, 2, 16, 16), grey, dtype=torch.uint8) for grey in (0, 200)])
    clips = Clips(*(t.cuda() for t in (video, torch.tensor([0, 1]), torch.tensor([5, 6]))))
    mixed = mix_batch(clips, 3, **alphas)
    assert mixed.video.is_cuda and mixed.label.is_cuda
    assert_close(mixed.video.float().mean((1, 2, 3, 4, 5)) / 200, mixed.label[:, 1], rtol=0, atol=0.01)


def test_nvdec_reads_the_frames_that_pyav_reads(write_numbered, read_numbers, tmp_path):
    pytest.importorskip("torchcodec", reason="needs torchcodec with CUDA")
    path = write_numbered(tmp_path / "video.mp4", 60)
    frames = Video(path, "torchcodec_cuda").frames(np.array([0, 7, 59]))
    assert frames.is_cuda
    assert read_numbers(frames.cpu(), time_dim=-4) == [0, 7, 59]
