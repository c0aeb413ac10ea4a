"""Files that are broken in any way: a decode or a DecodeError, never a hang or a crash."""

import os
import random
import re
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from nlvideo.data.prepare.check import check_video, compare_decoders
from nlvideo.data.prepare.worker_pool import WorkerFailure, run_each
from nlvideo.data.splits import read_folder
from nlvideo.data.time_limit import run_with_timeout
from nlvideo.data.video import DecodeError, Video
from nlvideo.data.video.header import Header
from tests.decoders import USABLE

SECONDS = 60  # for one video, on a busy machine


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Bytes flipped, cut off, removed, zeroed or put in, now and then in the header."""
    data = bytearray(data)
    place = rng.randrange(rng.choice([2000, len(data)]))
    size = rng.choice([1, 20, 500, 5000])
    how = rng.choice(["flip", "cut off", "remove", "zero", "put in"])
    if how == "flip":
        for _ in range(size // 10 + 1 if place < len(data) else 0):
            data[rng.randrange(place, len(data))] = rng.randrange(256)
    elif how == "cut off":
        del data[place:]
    elif how == "remove":
        del data[place : place + size]
    elif how == "zero":
        data[place : place + size] = bytes(len(data[place : place + size]))
    else:
        data[place:place] = rng.randbytes(size)
    return bytes(data)


def read(path_and_decoder) -> str:
    """In a process of its own: nothing if the video decodes, else the error."""
    path, decoder = path_and_decoder
    try:
        video = Video(path, decoder)
        video.frames(np.linspace(0, video.num_frames - 1, 8).astype(int))
    except DecodeError as error:
        return str(error)
    return ""


def test_mutated_videos_decode_or_give_a_decode_error_with_their_path(tmp_path, write_numbered):
    """NLVIDEO_MUTATIONS sets their number for each decoder. With 1,000 this takes ten minutes."""
    number = int(os.environ.get("NLVIDEO_MUTATIONS", "50"))
    codecs = {"a.mp4": "libx264", "b.avi": "mpeg4", "c.webm": "libvpx-vp9", "d.mkv": "libx264"}
    originals = [write_numbered(tmp_path / name, 40, codec=codec) for name, codec in codecs.items()]
    if samples := os.environ.get("NLVIDEO_SAMPLE_VIDEOS"):
        originals += [Path(samples) / name for name in ("h265_video.mp4", "video_90.mov", "h264_10bits.mp4")]
    rng = random.Random(0)
    items = []
    for i in range(number):
        original = originals[i % len(originals)]
        path = tmp_path / f"{i}{original.suffix}"
        path.write_bytes(mutated(original.read_bytes(), rng))
        items += [(path, decoder) for decoder in ("auto", *USABLE)]
    outcomes = dict(run_each(read, items, workers=2, timeout=SECONDS))
    assert not [outcome for outcome in outcomes.values() if isinstance(outcome, WorkerFailure)]
    errors = {item: outcome for item, outcome in outcomes.items() if outcome}
    assert all(error.startswith(f"{path}: ") and "\n" not in error for (path, _), error in errors.items())
    for decoder in {decoder for _, decoder in items}:  # of both kinds there are some
        assert 0.1 < sum(item[1] == decoder for item in errors) / number < 0.9


def crash_hang_or_double(item):
    if item == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == "hang":
        time.sleep(600)
    return item * 2


def test_a_crash_and_a_hang_cost_one_item_each():
    items = ["a", "crash", "b", "hang", "c"]
    outcomes = dict(run_each(crash_hang_or_double, items, workers=2, timeout=2))
    assert [outcomes[item] for item in "abc"] == ["aa", "bb", "cc"]
    assert outcomes["crash"] == WorkerFailure("crashed (SIGSEGV)")
    assert outcomes["hang"] == WorkerFailure("took longer than 2 seconds")


def test_a_time_limit_returns_raises_and_gives_up():
    assert run_with_timeout(5, lambda path, times: path * times, "ab", times=2) == "abab"
    with pytest.raises(ZeroDivisionError):
        run_with_timeout(5, lambda path: 1 / 0, "a.mp4")
    with pytest.raises(DecodeError, match=r"^a\.mp4: reading it took longer than 0\.01 seconds"):
        run_with_timeout(0.01, lambda path: time.sleep(5), "a.mp4")


def test_reads_share_a_thread_until_one_hangs_or_the_process_forks():
    def thread(path):
        return threading.get_ident()

    first = run_with_timeout(5, thread, "a.mp4")
    assert run_with_timeout(5, thread, "b.mp4") == first
    child = os.fork()
    if child == 0:
        os._exit(run_with_timeout(5, lambda path: 7, "a.mp4"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    with pytest.raises(DecodeError):
        run_with_timeout(0.01, lambda path: time.sleep(5), "a.mp4")
    assert run_with_timeout(5, thread, "a.mp4") != first


@pytest.fixture(scope="module")
def checked(tmp_path_factory, write_numbered, encode):
    """A file of each kind that check_videos tells apart."""
    folder = tmp_path_factory.mktemp("checked")
    write_numbered(folder / "good.mp4", 40)
    write_numbered(folder / "short.mp4", 5)
    (folder / "corrupt.mp4").write_text("not a video")
    encode(folder / "truncated.mp4", 60, "libx264", {"bf": "0"}, movflags="faststart")
    whole = (folder / "truncated.mp4").read_bytes()
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) * 7 // 10])
    return folder


@pytest.mark.parametrize("status", ["good", "short", "corrupt", "truncated", "missing"])
def test_check_video(checked, status):
    check = check_video(checked / f"{status}.mp4", min_frames=8)
    assert check.status == {"good": "ok", "short": "too short"}.get(status, status)
    if status == "good":
        assert (check.num_frames, check.fps, check.width, check.height, check.codec) == (40, 30.0, 96, 64, "h264")
    else:
        assert check.message
    if status == "truncated":
        assert 10 < check.num_frames < 60 == check.promised


def test_compare_decoders_finds_a_decoder_that_numbers_wrongly(tmp_path, encode, monkeypatch):
    encode(tmp_path / "a.avi", 60, "libx264", {"bf": "0"})  # decord seeks wrongly in AVI
    assert compare_decoders(tmp_path / "a.avi") == []
    monkeypatch.setattr("nlvideo.data.video.decord.read_header", lambda path: Header("h264", True, None))
    (line,) = compare_decoders(tmp_path / "a.avi")
    assert re.fullmatch(r"decord: frame \d+ differs by \d+\.\d levels on average", line)


def test_check_videos_writes_a_clean_manifest_and_goes_on_where_it_stopped(checked, tmp_path, run_tool):
    names = ["good", "short", "corrupt", "truncated", "missing"]
    manifest = tmp_path / "all.csv"
    manifest.write_text("path,label\n" + "".join(f"{checked / name}.mp4,{i}\n" for i, name in enumerate(names)))
    output = run_tool("check_videos.py", manifest, "--workers", "1", "--compare-decoders")
    assert "1 of 5 videos are ok" in output
    assert "0 of 1 videos have frames that differ by decoder" in output
    assert f"{checked / 'truncated.mp4'}: " in output
    assert (tmp_path / "all.clean.csv").read_text().splitlines()[1:] == [
        f"{checked / 'good.mp4'},0,good,40,30.0,96,64,1.333"
    ]
    report = (tmp_path / "all.report.csv").read_text()
    assert "5 of 5 videos were checked before" in run_tool("check_videos.py", manifest, "--workers", "1")
    assert (tmp_path / "all.report.csv").read_text() == report


def test_transcode_keeps_every_frame_and_goes_on_where_it_stopped(tmp_path, encode, read_numbers, run_tool):
    (tmp_path / "old").mkdir()
    encode(tmp_path / "old/a.avi", 40, "mpeg4", {"bf": "2"})
    (tmp_path / "old/b.mp4").write_text("not a video")
    (tmp_path / "old/all.csv").write_text("path,label\na.avi,1\nb.mp4,0\n")
    arguments = (tmp_path / "old/all.csv", tmp_path / "new", "--short-side", "32", "--gop", "8", "--workers", "1")
    output = run_tool("transcode.py", *arguments)
    assert "1 of 2 videos" in output and "MB became" in output
    assert f"left out: {tmp_path / 'old/b.mp4'}: " in output
    assert (tmp_path / "new/all.csv").read_text().splitlines()[1].startswith("a.avi.mp4,1,")
    video = Video(tmp_path / "new/a.avi.mp4")
    frames = video.frames(np.arange(40))
    assert frames.shape == (40, 3, 32, 48)
    assert read_numbers(frames, time_dim=-4) == list(range(40))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.avi.mp4", "all.csv"]
    assert "1 of 2 videos were there before" in run_tool("transcode.py", *arguments)


def test_a_folder_for_each_class_is_checked_and_transcoded(tmp_path, write_numbered, run_tool):
    (tmp_path / "train/a b").mkdir(parents=True)
    write_numbered(tmp_path / "train/a b/1.mp4", 10)
    assert "1 of 1 videos are ok" in run_tool("check_videos.py", tmp_path / "train", "--workers", "1")
    assert (tmp_path / "train.clean.csv").read_text().splitlines()[1].startswith("train/a b/1.mp4,0,1,10,")
    assert (tmp_path / "classes.txt").read_text() == "a b\n"
    assert "1 of 1 videos" in run_tool("transcode.py", tmp_path / "train", tmp_path / "new", "--workers", "1")
    assert (tmp_path / "new/train.csv").read_text().splitlines()[1].startswith("a b/1.mp4,0,1,")
    assert read_folder(tmp_path / "new") == ([(tmp_path / "new/a b/1.mp4", 0, "a b/1.mp4")], ["a b"])
    (tmp_path / "bad.csv").write_text("path,label\n1.mp4,x\n")
    with pytest.raises(AssertionError, match="label 'x'; expected a whole number from 0\n"):
        run_tool("transcode.py", tmp_path / "bad.csv", tmp_path / "new")
