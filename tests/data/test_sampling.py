"""Frame numbers, against what the definitions give by hand."""

import numpy as np
import pytest

from nlvideo.data import sampling
from nlvideo.data.sampling import ClipSampling


def test_the_span_counts_both_ends():
    assert sampling.clip_span(num_frames=4, frame_interval=3) == 10
    assert sampling.clip_span(num_frames=1, frame_interval=8) == 1


def test_a_clip_past_the_end_repeats_the_last_frame():
    indices = sampling.clip_indices(5, num_frames=4, frame_interval=3, video_frames=20)
    assert indices.tolist() == [5, 8, 11, 14]
    indices = sampling.clip_indices(0, num_frames=4, frame_interval=3, video_frames=5)
    assert indices.tolist() == [0, 3, 4, 4]
    assert sampling.clip_indices(0, num_frames=3, frame_interval=8, video_frames=1).tolist() == [0, 0, 0]


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


def test_segments_take_one_frame_from_each_part():
    assert sampling.segment_indices(3, 16, 0.5).tolist() == [3, 8, 13]
    draws = np.random.default_rng(0).random((2000, 3))
    frames = np.stack([sampling.segment_indices(3, 16, draw) for draw in draws])
    assert frames.min(axis=0).tolist() == [0, 5, 10]
    assert frames.max(axis=0).tolist() == [5, 10, 15]
    assert [len(np.unique(column)) for column in frames.T] == [6, 6, 6]
    assert sampling.segment_indices(8, 5, 0.5).tolist() == [0, 1, 2, 2, 2, 3, 4, 4]
    assert sampling.segment_indices(8, 1, 0.9).tolist() == [0] * 8


def test_segment_clips_are_random_in_training_and_spread_in_tests():
    segments = sampling.ClipSampling(4, kind="segments")
    assert segments.centre(41, fps=30).tolist() == [5, 15, 25, 35]
    assert segments.spread(2, 41, fps=30).tolist() == [[2, 12, 22, 32], [8, 18, 28, 38]]
    assert segments.random(41, 30, np.array([0.0, 0.99, 0.0, 0.99])).tolist() == [0, 20, 20, 40]


def test_a_target_frame_rate_keeps_the_time_between_frames():
    clip = sampling.ClipSampling(4, 8, target_fps=30)
    assert clip.centre(200, fps=30).tolist() == [87, 95, 103, 111]
    assert clip.centre(200, fps=60).tolist() == [75, 91, 107, 123]
    assert clip.centre(200, fps=25).tolist() == [89, 95, 102, 109]  # every 6.67th, rounded down
    assert clip.centre(200, fps=0).tolist() == [87, 95, 103, 111]  # a folder of images has no rate
    assert clip.random(200, 60, np.array([0.999999, 0, 0, 0])).tolist() == [151, 167, 183, 199]


def test_each_second_has_the_clip_around_its_middle():
    clips = ClipSampling(4, 2).each_second(video_frames=45, fps=10.0)  # a span of 7 frames, 4.5 seconds
    assert [clip[0] for clip in clips.tolist()] == [1, 11, 21, 31, 38]  # middles at 5, 15, .., 45; the last fits
    assert clips[1].tolist() == [11, 13, 15, 17]
    assert ClipSampling(4, 2).each_second(5, 10.0).tolist() == [[0, 2, 4, 4]]  # shorter than a clip
    with pytest.raises(ValueError, match="segments of whole videos"):
        ClipSampling(4, 2, "segments").each_second(45, 10.0)
    with pytest.raises(ValueError, match="frame rate is unknown"):
        ClipSampling(4, 2).each_second(45, 0.0)
