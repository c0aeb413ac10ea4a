"""The test protocols, number by number as their codebases compute them."""

import json
import shutil

import numpy as np
import pytest
import torch

import nlvideo
from nlvideo.__main__ import main
from nlvideo.data.manifest import read_manifest
from nlvideo.data.protocols import PROTOCOLS, TestProtocol
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.video import Video
from nlvideo.evaluation.predictions import read_predictions

FOUR_FRAMES = ClipSampling(4, 8)


def clips(protocol, num_clips, video_frames, fps=30.0, sampling=FOUR_FRAMES):
    return PROTOCOLS[protocol].clips(sampling, num_clips, video_frames, fps).tolist()


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("uniform", [[0, 8, 16, 24], [38, 46, 54, 62], [75, 83, 91, 99]]),
        ("mmaction", [[0, 8, 16, 24], [38, 46, 54, 62], [75, 83, 91, 99]]),
        ("nln", [[0, 8, 16, 24], [33, 41, 49, 57], [66, 74, 82, 90]]),
        ("slowfast", [[0, 10, 20, 31], [22, 33, 43, 53], [45, 55, 66, 76]]),
    ],
)
def test_the_table_of_the_module(protocol, expected):
    assert clips(protocol, 3, 100) == expected


def test_a_video_shorter_than_its_clip():
    assert clips("uniform", 2, 12) == [[0, 8, 11, 11]] * 2
    assert clips("slowfast", 2, 12) == [[0, 10, 11, 11]] * 2
    assert clips("mmaction", 2, 12) == [[0, 8, 4, 0]] * 2
    assert clips("nln", 2, 12) == [[0, 8, 4, 0], [6, 2, 10, 6]]


def test_nln_passes_the_end_and_goes_on_from_the_beginning():
    assert clips("nln", 10, 70, sampling=ClipSampling(8, 8))[9] == [63, 1, 9, 17, 25, 33, 41, 49]


def test_slowfast_at_8x8_and_at_another_frame_rate():
    """linspace(start, start + 63, 8), start = (300 - 64) * j / 10, rounded down; at 60 frames a second twice as far."""
    expected = [np.floor(np.linspace(23.6 * j, 23.6 * j + 63, 8)).astype(int).tolist() for j in range(10)]
    assert clips("slowfast", 10, 300, sampling=ClipSampling(8, 8)) == expected
    at_60 = clips("slowfast", 2, 300, fps=60.0, sampling=ClipSampling(8, 8))
    assert at_60 == [np.floor(np.linspace(start, start + 127, 8)).astype(int).tolist() for start in (0, 86)]
    assert clips("slowfast", 2, 300, fps=0.0) == clips("slowfast", 2, 300, fps=30.0)


@pytest.mark.parametrize(
    ("protocol", "room", "offsets"),
    [
        ("uniform", 5, [0, 2, 5]),
        ("nln", 5, [0, 2, 4]),
        ("mmaction", 5, [0, 2, 4]),
        ("slowfast", 5, [0, 3, 5]),
        ("nln", 84, [0, 42, 84]),
        ("slowfast", 84, [0, 42, 84]),
    ],
)
def test_offsets_of_three_crops(protocol, room, offsets):
    assert PROTOCOLS[protocol].offsets(room, 3) == offsets
    assert PROTOCOLS[protocol].offsets(room, 1) == [offsets[1]]


def test_uniform_has_any_number_of_crops():
    assert PROTOCOLS["uniform"].offsets(8, 5) == [0, 2, 4, 6, 8]


def first_and_last_clip(sampling, num_clips, video_frames, fps):
    clip = np.arange(sampling.num_frames) * sampling.frame_interval
    return np.stack([clip, clip + video_frames - 1 - clip[-1]])


def test_a_new_protocol_is_one_line_and_tests_a_network(trained, visitors, tmp_path, monkeypatch):
    protocol = TestProtocol(first_and_last_clip, lambda room, num_crops: [room, 0], num_crops=2, allowed_crops=(2,))
    monkeypatch.setitem(PROTOCOLS, "ends", protocol)
    shutil.copy(trained / "config.yaml", tmp_path)
    shutil.copy(trained / "last.ckpt", tmp_path)
    arguments = ["test", "-c", str(tmp_path / "config.yaml"), f"--ckpt_path={tmp_path / 'last.ckpt'}"]
    arguments += ["--data.test_crop_size=48", "--data.num_clips=2", "--data.protocol=ends"]
    assert main([*arguments, "--data.num_crops=3"]) != 0
    assert main([*arguments, "--data.num_crops=null"]) == 0
    assert json.loads((tmp_path / "test.json").read_text())["views"] == "2 x 2"

    net = nlvideo.load(tmp_path / "last.ckpt")
    expected = []
    for sample in read_manifest(visitors / "val.csv", 4):
        frames = Video(sample.path).frames(np.arange(64))  # (64, 3, 64, 64)
        views = [frames[a : a + 57 : 8, :, 8:56, left : left + 48] for a in (0, 7) for left in (16, 0)]
        with torch.no_grad():
            logits = net((torch.stack(views).transpose(1, 2) / 255 - 0.45) / 0.225)  # (4, 4)
        expected.append(logits.softmax(dim=1).mean(dim=0))
    scores = read_predictions(tmp_path / "predictions.parquet").scores
    np.testing.assert_allclose(scores, torch.stack(expected), atol=1e-5)
