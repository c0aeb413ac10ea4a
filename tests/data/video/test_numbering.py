"""Frame i is frame i: every decoder, in every format that a data set comes in, against numbered frames."""

import struct

import av
import numpy as np
import pytest
import torch

from nlvideo.data.video import READERS, DecodeError, Video
from tests.decoders import USABLE

NUM_FRAMES = 60
VFR = np.cumsum(np.random.default_rng(0).integers(20, 300, NUM_FRAMES)).tolist()  # times in 1/3000 s
LATE = [5000 + 100 * i for i in range(NUM_FRAMES)]
VP9 = {"lag-in-frames": "16", "auto-alt-ref": "1", "cpu-used": "8", "deadline": "realtime"}  # with hidden frames
VP8 = {"lag-in-frames": "16", "auto-alt-ref": "1", "cpu-used": "5", "deadline": "good"}
OPEN_GOP = {"x264-params": "open-gop=1:bframes=3"}  # frames that need others from behind the next key frame
B = {"bf": "3"}

# Name: (codec, its options, more for `encode`). decord reads those with an .mp4, .mov, .mkv or .webm of its codecs.
FORMATS = {
    "plain.mp4": ("libx264", {"bf": "0"}, {}),
    "b_frames.mp4": ("libx264", B, {}),
    "b_frames.mov": ("libx264", B, {}),
    "b_pyramid.mp4": ("libx264", {"x264-params": "bframes=5:b-pyramid=normal:ref=5"}, {}),
    "no_edit_list.mp4": ("libx264", B, {"use_editlist": "0"}),
    "negative_offsets.mp4": ("libx264", B, {"movflags": "negative_cts_offsets"}),
    "fragmented.mp4": ("libx264", B, {"movflags": "frag_keyframe+empty_moov"}),
    "late.mp4": ("libx264", B, {"times": LATE}),
    "late_no_edit_list.mp4": ("libx264", B, {"times": LATE, "use_editlist": "0"}),
    "late.mkv": ("libx264", B, {"times": LATE}),
    "late.webm": ("libvpx-vp9", VP9, {"times": LATE}),
    "vfr.mp4": ("libx264", B, {"times": VFR}),
    "vfr.mkv": ("libx264", B, {"times": VFR}),
    "vfr.webm": ("libvpx-vp9", VP9, {"times": VFR}),
    "gop1.mp4": ("libx264", {"bf": "0"}, {"gop": 1}),
    "gop7.mp4": ("libx264", B, {"gop": 7}),
    "gop300.mp4": ("libx264", B, {"gop": 300}),
    "open_gop.mp4": ("libx264", OPEN_GOP, {}),
    "open_gop.mkv": ("libx264", OPEN_GOP, {}),
    "intra_refresh.mp4": ("libx264", {"x264-params": "intra-refresh=1:bframes=0"}, {}),
    "vp8.webm": ("libvpx", VP8, {}),
    "vp9.webm": ("libvpx-vp9", VP9, {}),
    # The name that the ffmpeg program gives its encoder holds the bytes of the id of Matroska's Projection.
    "tagged.webm": ("libvpx-vp9", VP9, {"tags": {"ENCODER": "Lavc libvpx-vp9"}}),
    "vp9.mp4": ("libvpx-vp9", VP9, {}),
    "h264.avi": ("libx264", B, {}),
    "open_gop.ts": ("libx264", OPEN_GOP, {}),
    "h264.flv": ("libx264", B, {}),
    "hevc.mp4": ("libx265", {"x265-params": "log-level=none"}, {}),
    "mpeg4.avi": ("mpeg4", {"bf": "2"}, {}),
    "mpeg4.mp4": ("mpeg4", {"bf": "2"}, {}),
    "mpeg2.mpg": ("mpeg2video", {"bf": "2"}, {}),
    "wmv2.wmv": ("wmv2", {}, {}),
    "av1.mkv": ("libsvtav1", {"preset": "12", "svtav1-params": "lp=1"}, {}),
}
DECORD = {name for name, (codec, *_) in FORMATS.items() if codec in ("libx264", "libvpx", "libvpx-vp9")} - {
    "h264.avi",
    "open_gop.ts",
    "h264.flv",
}
COUNTED = {"h264.avi", "mpeg4.avi", "mpeg2.mpg", "open_gop.ts"}  # PyAV alone numbers these rightly


def check_numbers(path, decoder, expected, read_numbers):
    """All in one open file, and some in files opened for them."""
    video = Video(path, decoder)
    assert video.num_frames == len(expected)
    assert read_numbers(video.frames(np.arange(len(expected))).cpu(), time_dim=-4) == expected
    last = len(expected) - 1
    for wanted in ([0], [min(25, last)], [*range(7, last, 8)], [last]):
        frames = Video(path, decoder).frames(np.array(wanted))
        assert read_numbers(frames.cpu(), time_dim=-4) == [expected[i] for i in wanted]


def check_all_decoders(path, decoders, expected, read_numbers):
    """Those decoders, and no other, read the file, and rightly."""
    assert Video(path).decoder == ("decord" if "decord" in decoders else "pyav")
    for decoder in USABLE:
        if decoder in decoders:
            check_numbers(path, decoder, expected, read_numbers)
        else:
            with pytest.raises(DecodeError, match=f"{decoder}: not asked, since it may number"):
                Video(path, decoder)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_frame_of_the_number(name, tmp_path, encode, read_numbers):
    codec, options, more = FORMATS[name]
    encode(tmp_path / name, NUM_FRAMES, codec, options, **more)
    decoders = {*READERS} - ({"decord"} if name not in DECORD else set())
    if name in COUNTED:
        decoders = {"pyav"}
    check_all_decoders(tmp_path / name, decoders, [*range(NUM_FRAMES)], read_numbers)


def with_edits(data: bytes, edits: list[tuple[int, int]]) -> bytes:
    """An .mp4 whose index stands at its end, with another edit list: parts (milliseconds, start in 1/15360 s)."""
    data = bytearray(data)

    def find(kind, start):
        place = data.index(kind, start) - 4
        return place, struct.unpack_from(">I", data, place)[0]

    moov, trak = find(b"moov", 0), find(b"trak", data.index(b"moov"))
    place, size = find(b"edts", trak[0])
    entries = b"".join(struct.pack(">IiI", length, start, 1 << 16) for length, start in edits)
    box = struct.pack(">I4sI4sII", 24 + len(entries), b"edts", 16 + len(entries), b"elst", 0, len(edits)) + entries
    data[place : place + size] = box
    for start, length in (moov, trak):
        struct.pack_into(">I", data, start, length + len(box) - size)
    return bytes(data)


FRAME = 512  # units of the track
# Parts of the edit list -> whether every frame is shown. The first of 60 frames at 30 a second starts at 2 * FRAME.
EDITS = {
    "whole": ([(2000, 2 * FRAME)], True),
    "empty part first": ([(500, -1), (2000, 2 * FRAME)], True),
    "rounded down": ([(1999, 2 * FRAME)], True),
    "last frame cut": ([(1966, 2 * FRAME)], False),
    "start cut": ([(1500, 12 * FRAME)], False),
    "start cut at a key frame": ([(1200, 26 * FRAME)], False),
    "end cut": ([(1000, 2 * FRAME)], False),
    "start too early": ([(2000, 0)], False),
    "middle cut": ([(500, 2 * FRAME), (500, 42 * FRAME)], False),
    "one part twice": ([(500, 2 * FRAME), (500, 2 * FRAME)], False),
}


@pytest.mark.parametrize("name", EDITS)
def test_edit_lists(name, tmp_path, encode, read_numbers):
    edits, is_whole = EDITS[name]
    path = tmp_path / "a.mp4"
    encode(path, NUM_FRAMES, "libx264", {"bf": "3"}, video_track_timescale="15360", movie_timescale="1000")
    path.write_bytes(with_edits(path.read_bytes(), edits))
    with av.open(str(path)) as container:  # FFmpeg's own answer
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    expected = read_numbers(torch.from_numpy(frames).permute(0, 3, 1, 2), time_dim=-4)
    assert (expected == [*range(NUM_FRAMES)]) == is_whole
    decoders = {*READERS} - (set() if is_whole else {"decord"})
    check_all_decoders(path, decoders, expected, read_numbers)
