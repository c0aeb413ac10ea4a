"""Frames by number, read back from the pixels; colours, rotation, boxes; files that cannot be read."""

import errno
import os
import struct
import sys
import time
from pathlib import Path

import decord
import numpy as np
import pytest
import torch
from PIL import Image

from nlvideo.data import reading
from nlvideo.data.prepare.encode import write_video
from nlvideo.data.reading import summarize_decoders
from nlvideo.data.video import Box, DecodeError, Video, check_decoder
from tests.decoders import DECODERS, USABLE

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


@pytest.mark.parametrize("bridge", ["native", "torch"])
def test_decord_bridge_stays_as_others_have_set_it(numbered, bridge):
    decord.bridge.set_bridge(bridge)
    try:
        frames = Video(numbered, "decord").frames(np.array([[1, 2], [2, 1]]))
        assert (frames.shape, frames.dtype) == ((2, 2, 3, 64, 96), torch.uint8)
        theirs = decord.VideoReader(str(numbered))[0]
        assert isinstance(theirs, torch.Tensor) == (bridge == "torch")
    finally:
        decord.bridge.set_bridge("native")


@pytest.mark.parametrize("decoder", DECODERS)
def test_each_frame_is_decoded_once(numbered, monkeypatch, decoder):
    video = Video(numbered, decoder)
    asked = []
    decode = video._reader.chunks
    monkeypatch.setattr(video._reader, "chunks", lambda numbers, box: asked.append(numbers) or decode(numbers, box))
    video.frames(np.array([5, 1, 5, 5, 1]))
    assert asked == [[1, 5]]


def test_numbers_past_the_end_give_the_last_frame(numbered, read_numbers):
    assert read_numbers(Video(numbered).frames(np.array([98, 99, 150])), time_dim=-4) == [98, 99, 99]


def test_decord_reads_first_and_leaves_what_it_numbers_wrongly_to_pyav(numbered, tmp_path, encode):
    encode(tmp_path / "a.avi", 5, "mpeg4", {})
    assert [Video(numbered, decoder).decoder for decoder in ("auto", "pyav", "decord")] == ["decord", "pyav", "decord"]
    assert Video(tmp_path / "a.avi").decoder == "pyav"
    with pytest.raises(DecodeError, match=r"a\.avi: decord: not asked, since"):
        Video(tmp_path / "a.avi", "decord")


def test_the_line_that_says_which_decoders_read(numbered, tmp_path, encode):
    encode(tmp_path / "a.avi", 5, "mpeg4", {})
    paths = [numbered, tmp_path / "a.avi", numbered, tmp_path / "absent.mp4"]
    assert summarize_decoders(paths) == "decoders of the first 4 videos: decord 2, pyav 1, unreadable 1"


def test_a_disk_that_hangs_does_not_hold_the_start_of_a_run(numbered, monkeypatch, caplog):
    def hang(path, decoder):
        time.sleep(60)

    monkeypatch.setattr(reading, "Video", hang)
    assert summarize_decoders([numbered] * 3, timeout=0.01) == "decoders of the first 1 videos: unreadable 1"
    assert f"{numbered}: not open after 0.01 seconds" in caplog.text


def test_a_decoder_that_is_unknown_or_not_installed_is_an_error(numbered, monkeypatch):
    check_decoder("auto")
    check_decoder("pyav")
    with pytest.raises(ValueError, match="decoder 'ffmpeg': expected one of auto, decord, pyav"):
        check_decoder("ffmpeg")
    with pytest.raises(ValueError, match="decoder 'ffmpeg': expected one of auto, decord, pyav"):
        Video(numbered, "ffmpeg")
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(ValueError, match=r"decoder decord: .*decord.*; pip install decord"):
        check_decoder("decord")


def test_pyav_reads_if_decord_is_not_installed(numbered, monkeypatch):
    monkeypatch.setitem(sys.modules, "decord", None)
    assert Video(numbered).decoder == "pyav"


@pytest.fixture(scope="module")
def coloured(tmp_path_factory):
    """A video of 48 x 64 pixels: the upper left quarter red, the upper right green, the lower left blue."""
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:24, :32, 0] = frame[:24, 32:, 1] = frame[24:, :32, 2] = 250
    path = tmp_path_factory.mktemp("coloured") / "a.mp4"
    write_video(path, [frame] * 4, 16, crf=0)
    return path


def quarters(frame: torch.Tensor) -> str:
    """The colours of the quarters of [3, H, W], row by row: r, g, b or - for black."""
    height, width = frame.shape[-2:]
    middles = frame[:, [height // 4, 3 * height // 4]][:, :, [width // 4, 3 * width // 4]].flatten(1)
    return "".join("rgb"[int(colour.argmax())] if colour.max() > 128 else "-" for colour in middles.T)


@pytest.mark.parametrize("decoder", DECODERS)
def test_frames_are_rgb(coloured, decoder):
    assert quarters(Video(coloured, decoder).frames(np.array(1))) == "rgb-"


# Degrees clockwise by which players turn the picture -> its matrix in an .mp4's track header and the quarters.
TURNS = {
    90: ((0, 1, -1, 0), "br-g"),
    180: ((-1, 0, 0, -1), "-bgr"),
    270: ((0, -1, 1, 0), "g-rb"),
}


@pytest.mark.parametrize("decoder", ["auto", *(each for each in DECODERS if each.values != ("decord",))])
@pytest.mark.parametrize("degrees", TURNS)
def test_frames_are_turned_as_the_metadata_says(coloured, tmp_path, degrees, decoder):
    (a, b, c, d), expected = TURNS[degrees]
    data = bytearray(coloured.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    (tmp_path / "turned.mp4").write_bytes(data)
    video = Video(tmp_path / "turned.mp4", decoder)
    frame = video.frames(np.array(2))
    assert (video.height, video.width) == tuple(frame.shape[1:]) == ((48, 64) if degrees == 180 else (64, 48))
    assert quarters(frame) == expected
    box = Box(4, 8, 30, 22)
    assert torch.equal(video.frames(np.array(2), box=box), frame[:, 4:34, 8:30])


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_box_is_cut_before_frames_are_prepared(numbered, decoder):
    video = Video(numbered, decoder)
    assert (video.height, video.width) == (64, 96)
    whole = video.frames(np.array([[40, 3], [3, 99]]))
    for box in (Box(0, 0, 64, 96), Box(10, 20, 30, 40), Box(7, 13, 51, 33)):
        part = whole[..., box.top : box.top + box.height, box.left : box.left + box.width]
        assert torch.equal(video.frames(np.array([[40, 3], [3, 99]]), box=box), part)
        flipped = video.frames(np.array([[40, 3], [3, 99]]), lambda frames: frames.flip(-1), box)
        assert torch.equal(flipped, part.flip(-1))
    for box in (Box(-1, 0, 10, 10), Box(0, 90, 10, 10), Box(60, 0, 5, 10)):
        with pytest.raises(DecodeError, match="its frames of 64 x 96 pixels do not hold Box"):
            Video(numbered, decoder).frames(np.array([0]), box=box)


def test_a_header_that_promises_larger_frames_is_a_decode_error_for_a_box(numbered, tmp_path):
    data = bytearray(numbered.read_bytes())
    size = data.index(b"avc1", data.index(b"stsd")) + 4 + 24
    assert struct.unpack_from(">HH", data, size) == (96, 64)
    struct.pack_into(">HH", data, size, 96, 640)
    (tmp_path / "a.mp4").write_bytes(data)
    with pytest.raises(DecodeError, match="its frames are smaller than its header says"):
        Video(tmp_path / "a.mp4", "decord").frames(np.array([0]), box=Box(500, 0, 20, 20))
    assert Video(tmp_path / "a.mp4").frames(np.array([0])).shape == (1, 3, 64, 96)


def test_frames_in_order_are_not_copied(numbered):
    video = Video(numbered)
    for indices in ([[2, 5, 9]], [2, 5, 9], 2):
        frames = video.frames(np.array(indices))
        assert frames.shape == (*np.shape(indices), 3, 64, 96)
        assert frames.stride()[-3:] == (1, 96 * 3, 3)  # as they were decoded: [.., H, W, 3]


@pytest.mark.parametrize("suffix", ["mkv", "avi", "mp4"])
def test_a_file_that_is_cut_off_ends_where_its_frames_end(suffix, tmp_path, encode, read_numbers):
    path = tmp_path / f"a.{suffix}"
    encode(path, 100, "mpeg4" if suffix == "avi" else "libx264", {"bf": "0"}, movflags="faststart")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    video = Video(path)
    assert 10 < video.num_frames < 80  # though the header says 100
    numbers = read_numbers(video.frames(np.arange(0, 100, 10)), time_dim=-4)
    last = video.num_frames - 1
    assert numbers == [min(number, last) for number in range(0, 100, 10)]


def test_a_folder_of_images(tmp_path, draw_numbers, read_numbers):
    for i in range(12):
        Image.fromarray(np.ascontiguousarray(draw_numbers([i])[0])).save(tmp_path / f"img_{i + 1:05}.jpg")
    (tmp_path / "notes.txt").write_text("not a frame")
    video = Video(tmp_path)
    assert (video.num_frames, video.decoder) == (12, "images")
    assert read_numbers(video.frames(np.array([11, 0, 5])), time_dim=-4) == [11, 0, 5]
    (tmp_path / "img_00001.jpg").write_text("not an image")
    with pytest.raises(DecodeError, match=str(tmp_path)):
        video.frames(np.array([0]))


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


def test_a_missing_file_and_an_empty_folder(tmp_path):
    with pytest.raises(DecodeError, match=r"absent\.mp4: no such file$"):
        Video(tmp_path / "absent.mp4")
    with pytest.raises(DecodeError, match=r": a folder without images \(\.jpeg"):
        Video(tmp_path)


def test_a_name_too_long_for_the_file_system_is_a_decode_error(tmp_path):
    with pytest.raises(DecodeError, match=r"xxx\.mp4: File name too long$"):
        Video(tmp_path / f"{'x' * 256}.mp4")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("call", ["stat", "scandir"])
def test_an_error_of_the_file_system_is_a_decode_error(number, call, tmp_path, monkeypatch):
    def fails(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    folder = tmp_path / "folder of images"
    folder.mkdir()
    real = getattr(os, call)
    monkeypatch.setattr(os, call, fails)
    if call == "scandir":
        monkeypatch.setattr(os, "listdir", fails)  # what Path.iterdir uses depends on Python's version
    try:
        with pytest.raises(DecodeError, match=f"folder of images: {os.strerror(number)}$"):
            Video(folder)
    finally:
        monkeypatch.setattr(os, call, real)


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
        ("bt709_full_range.mp4", 30, (720, 1280)),
        ("av1_video.mkv", 125, (360, 640)),  # decord cannot read it
    ],
)
def test_sample_videos(name, num_frames, size):
    """All decoders give the same, and the same one by one as in one go."""
    numbers = np.array(sorted({0, num_frames // 2, num_frames - 1}))
    frames = Video(Path(SAMPLES) / name, "pyav").frames(numbers)
    assert frames.shape == (len(numbers), 3, *size)
    one_by_one = [Video(Path(SAMPLES) / name, "pyav").frames(numbers[i : i + 1]) for i in range(len(numbers))]
    assert torch.equal(frames, torch.cat(one_by_one))
    for decoder in ("auto", "torchcodec"):
        if decoder == "torchcodec" and (name == "test.avi" or decoder not in USABLE):
            continue
        video = Video(Path(SAMPLES) / name, decoder)
        assert (video.num_frames, video.height, video.width) == (num_frames, *size)
        if name != "h264_10bits.mp4":  # they interpolate the colours of ten bits in different ways
            assert torch.equal(video.frames(numbers), frames)


@pytest.mark.skipif(not SAMPLES, reason="NLVIDEO_SAMPLE_VIDEOS names no folder")
def test_the_corrupted_sample():
    with pytest.raises(
        DecodeError, match=r"corrupted\.mp4: decord: .* Error sending packet.*; PyAV: Invalid data found"
    ):
        Video(Path(SAMPLES) / "corrupted.mp4").frames(np.arange(50))
