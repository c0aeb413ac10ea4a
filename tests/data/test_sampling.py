"""Frame numbers, against what the definitions give by hand."""

import numpy as np
import pytest

from nlvideo.data import sampling


def test_the_span_counts_both_ends():
    assert sampling.clip_span(num_frames=4, stride=3) == 10
    assert sampling.clip_span(num_frames=1, stride=8) == 1


def test_a_clip_past_the_end_repeats_the_last_frame():
    indices = sampling.clip_indices(5, num_frames=4, stride=3, video_frames=20)
    assert indices.tolist() == [5, 8, 11, 14]
    indices = sampling.clip_indices(0, num_frames=4, stride=3, video_frames=5)
    assert indices.tolist() == [0, 3, 4, 4]
    assert sampling.clip_indices(0, num_frames=3, stride=8, video_frames=1).tolist() == [0, 0, 0]


def test_random_starts_reach_every_place_where_the_clip_fits_and_no_other():
    draws = np.linspace(0, 1, 1000, endpoint=False)
    starts = [sampling.random_start(10, 16, draw) for draw in draws]
    places, counts = np.unique(starts, return_counts=True)
    assert places.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert counts.max() - counts.min() <= 1
    assert {sampling.random_start(10, 10, draw) for draw in draws} == {0}
    assert {sampling.random_start(10, 4, draw) for draw in draws} == {0}


@pytest.mark.parametrize(("video_frames", "start"), [(64, 3), (57, 0), (58, 0), (59, 1), (300, 121), (4, 0)])
def test_the_centre_clip(video_frames, start):
    assert sampling.centre_start(sampling.clip_span(8, 8), video_frames) == start


@pytest.mark.parametrize(
    ("num_clips", "span", "video_frames", "starts"),
    [
        (3, 6, 16, [0, 5, 10]),
        (1, 6, 16, [5]),
        (10, 57, 300, [0, 27, 54, 81, 108, 135, 162, 189, 216, 243]),
        (4, 57, 30, [0, 0, 0, 0]),
    ],
)
def test_uniform_clips_touch_both_ends(num_clips, span, video_frames, starts):
    assert sampling.uniform_starts(num_clips, span, video_frames) == starts
