"""Frames by number, read back from the pixels; files that cannot be read."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from nlvideo.data.decode import DecodeError, Video

SAMPLES = os.environ.get("NLVIDEO_SAMPLE_VIDEOS")


@pytest.fixture(scope="module")
def numbered(tmp_path_factory, write_numbered):
    return write_numbered(tmp_path_factory.mktemp("videos") / "a b.mp4", 100, gop=30)


def test_frames_by_number_in_any_order_and_repeated(numbered, read_numbers):
    video = Video(numbered)
    assert video.num_frames == 100
    for wanted in ([0, 8, 16], [99, 98, 97], [50, 3, 50, 99, 3], [31], list(range(100))):
        frames = video.frames(np.array(wanted))
        assert frames.shape == (len(wanted), 3, 64, 96)
        assert read_numbers(frames, time_dim=-4) == wanted


def test_frames_are_uint8_whatever_bridge_others_have_set(numbered):
    import decord

    decord.bridge.set_bridge("native")
    assert Video(numbered).frames(np.array([1])).dtype == torch.uint8


def test_each_frame_is_decoded_once(numbered, monkeypatch):
    video = Video(numbered)
    asked = []
    decode = video._reader.get_batch
    monkeypatch.setattr(video._reader, "get_batch", lambda indices: asked.append(list(indices)) or decode(indices))
    video.frames(np.array([5, 1, 5, 5, 1]))
    assert asked == [[1, 5]]


def damaged(path: Path, kind: str, whole: bytes) -> Path:
    contents = {
        "empty": b"",
        "text": b"path,label\nnot a video\n" * 100,
        "no index": whole[: len(whole) // 2],  # an .mp4's index stands at its end
        "overwritten": whole[:2000] + b"\xff" * (len(whole) // 2) + whole[2000 + len(whole) // 2 :],
    }
    path.write_bytes(contents[kind])
    return path


@pytest.mark.parametrize("kind", ["empty", "text", "no index", "overwritten"])
def test_a_damaged_file_is_a_decode_error_of_one_line_with_its_path(kind, numbered, tmp_path):
    path = damaged(tmp_path / f"{kind}.mp4", kind, numbered.read_bytes())
    with pytest.raises(DecodeError) as caught:
        Video(path).frames(np.arange(0, 100, 8))
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) > len(f"{path}: ") + 5
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(DecodeError, match=r"absent\.mp4: no such file$"):
        Video(tmp_path / "absent.mp4")
    with pytest.raises(DecodeError, match="no such file"):
        Video(tmp_path)


@pytest.mark.skipif(not SAMPLES, reason="NLVIDEO_SAMPLE_VIDEOS names no folder")
@pytest.mark.parametrize(
    ("name", "num_frames", "size"),
    [
        ("demo.mp4", 280, (256, 340)),
        ("test.avi", 164, (240, 320)),
        ("flipping_a_pancake.mkv", 310, (240, 426)),
        ("unordered.mov", 4, (50, 50)),
        ("video_90.mov", 3, (568, 320)),  # stored 320 x 568
        ("video_270.mov", 3, (568, 320)),
        ("nasa_13013.mp4", 390, (270, 480)),  # the best of its two streams
        ("h265_video.mp4", 10, (128, 128)),
        ("h264_10bits.mp4", 30, (200, 200)),
    ],
)
def test_sample_videos(name, num_frames, size):
    video = Video(Path(SAMPLES) / name)
    assert video.num_frames == num_frames
    assert video.frames(np.array([0, num_frames - 1])).shape == (2, 3, *size)


@pytest.mark.skipif(not SAMPLES, reason="NLVIDEO_SAMPLE_VIDEOS names no folder")
def test_the_corrupted_sample():
    with pytest.raises(DecodeError, match=r"corrupted\.mp4: \S"):
        Video(Path(SAMPLES) / "corrupted.mp4").frames(np.arange(50))
