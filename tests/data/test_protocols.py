"""The test protocols, number by number as their codebases compute them."""

import numpy as np
import pytest

from nlvideo.data.protocols import PROTOCOLS
from nlvideo.data.sampling import ClipSampling

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
