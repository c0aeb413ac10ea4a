"""Evaluation's frames and views, on videos that carry their frame numbers."""

import logging
import time

import pytest
import torch

from nlvideo.data import reading
from nlvideo.data.eval_dataset import DecodedVideo, EvalBatchSampler, EvalVideos, ViewSpec, collate_readable, iter_views
from nlvideo.data.sampling import ClipSampling

HEIGHT, WIDTH = 40, 60
CLIP, VIDEO = slice(0, 1), slice(1, None)


def eval_videos(samples, **options):
    return EvalVideos(samples, **{"sampling": ClipSampling(4, 8), "short_side": None, **options})


def all_views(footage, views):
    return torch.cat([batch for _, batch in iter_views([footage], views, 100)])


def coordinates(height=HEIGHT, width=WIDTH, num_frames=6):
    """DecodedVideo whose pixels hold their row, their column and their frame's number, of clips 0 1, 2 3 and 4 5."""
    frames = torch.zeros(num_frames, 3, height, width, dtype=torch.uint8)
    frames[:, 0] = torch.arange(height)[:, None]
    frames[:, 1] = torch.arange(width)
    frames[:, 2] = torch.arange(num_frames)[:, None, None]
    return DecodedVideo(frames, torch.arange(num_frames).view(-1, 2), label=0, index=0)


def corners(view):
    """First row, first column and frame numbers of [3, T, H, W]."""
    return view[0, 0, 0, 0].item(), view[1, 0, 0, 0].item(), view[2, :, 0, 0].tolist()


def test_clip_level_is_the_centre_clip(samples, read_numbers):
    assert read_numbers(all_views(eval_videos(samples)[0], ViewSpec(CLIP, 64))) == [[37, 45, 53, 61]]
    assert read_numbers(all_views(eval_videos(samples)[1], ViewSpec(CLIP, 64))) == [[0, 8, 16, 19]]


def test_video_level_adds_uniform_clips_times_crops(samples, read_numbers):
    footage = eval_videos(samples, num_clips=3)[0]
    starts = [start for start, *_ in read_numbers(all_views(footage, ViewSpec(VIDEO, 64, num_crops=2)))]
    assert starts == [0, 0, 38, 38, 75, 75]


def test_each_frame_is_decoded_and_held_once(samples, monkeypatch):
    calls = []
    decode = reading.Video.frames
    monkeypatch.setattr(
        reading.Video, "frames", lambda self, wanted, *rest: calls.append(len(wanted)) or decode(self, wanted, *rest)
    )
    footage = eval_videos(samples, num_clips=3)[1]
    assert calls == [4]  # in 20 frames, every clip is 0, 8, 16, 19
    assert len(footage.frames) == 4
    assert footage.clips.tolist() == [[0, 1, 2, 3]] * 4
    assert footage.numbers.tolist() == [0, 8, 16, 19]


def test_frames_are_resized_as_they_are_decoded(samples):
    """In chunks, so that a long video is never held in full size; the pixels are those of a resize of all at once."""
    from nlvideo.data.transforms import resize_short_side

    every = {"sampling": ClipSampling(8, 1), "num_clips": 10}
    whole = eval_videos(samples, **every)[0].frames
    assert len(whole) > 2 * 16
    small = eval_videos(samples, **every, short_side=32)[0].frames
    assert small.shape[1:] == (3, 32, 48)
    assert torch.equal(small, resize_short_side(whole, 32))


def test_a_video_that_cannot_be_read_counts_as_missing(samples, caplog):
    for row in (2, 3):
        with caplog.at_level(logging.WARNING):
            assert eval_videos(samples)[row] is None
        assert str(samples[row].path) in caplog.text
    assert [video.index for video in collate_readable([eval_videos(samples)[row] for row in (0, 2, 1)])] == [0, 1]


def test_a_video_that_hangs_is_named(samples, monkeypatch, caplog):
    monkeypatch.setattr(reading.Video, "frames", lambda *_: time.sleep(60))
    with caplog.at_level(logging.WARNING):
        assert eval_videos(samples, timeout=0.05)[0] is None
    assert f"{samples[0].path}: reading it took longer than 0.05 seconds" in caplog.text


def test_three_crops_stand_at_both_ends_and_in_the_middle_of_the_longer_side():
    wide = all_views(coordinates(), ViewSpec(VIDEO, 32, num_crops=3))
    assert wide.shape == (6, 3, 2, 32, 32)
    assert [corners(view) for view in wide] == [
        (4, column, frames) for frames in ([2, 3], [4, 5]) for column in (0, 14, 28)
    ]
    high = all_views(coordinates(height=WIDTH, width=HEIGHT), ViewSpec(VIDEO, 32, num_crops=3))
    assert [corners(view)[:2] for view in high[:3]] == [(0, 4), (14, 4), (28, 4)]


def test_crops_stand_in_the_middle_of_the_shorter_side_rounded_down():
    """As in all three codebases: a room of 9 pixels leaves 4 above."""
    for num_crops in (1, 3):
        views = ViewSpec(VIDEO, 32, num_crops)
        assert {box[:1] for box in views.boxes(41, 60)} == {(4,)}
        assert {box[1:2] for box in views.boxes(60, 41)} == {(4,)}
        assert {corners(view)[0] for view in all_views(coordinates(height=41), views)} == {4}


def test_one_crop_is_the_centre_and_no_crop_the_whole_frame():
    assert corners(all_views(coordinates(), ViewSpec(CLIP, 32))[0]) == (4, 14, [0, 1])
    (whole,) = all_views(coordinates(), ViewSpec(CLIP, None))
    assert whole.shape == (3, 2, HEIGHT, WIDTH)


def test_a_frame_smaller_than_the_crop_is_padded_with_its_edge():
    (crop,) = all_views(coordinates(height=10, width=20), ViewSpec(CLIP, 32))
    assert crop[0, 0, :, 0].tolist() == [0] * 11 + list(range(10)) + [9] * 11


def test_videos_of_different_sizes_share_batches_where_views_are_equal():
    videos = [coordinates(), coordinates(height=WIDTH, width=HEIGHT), coordinates()]
    squares = list(iter_views(videos, ViewSpec(VIDEO, 32), at_most=4))
    assert [(owners, tuple(batch.shape[-2:])) for owners, batch in squares] == [
        ([0, 0, 1, 1], (32, 32)),
        ([2, 2], (32, 32)),
    ]
    whole = list(iter_views(videos, ViewSpec(VIDEO, None), at_most=4))
    assert [(owners, tuple(batch.shape[-2:])) for owners, batch in whole] == [
        ([0, 0, 2, 2], (HEIGHT, WIDTH)),
        ([1, 1], (WIDTH, HEIGHT)),
    ]


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 7])
def test_every_row_goes_to_one_process_and_all_have_equally_many_batches(num_ranks):
    skipped = frozenset({4, 5, 8})
    shares = [
        EvalBatchSampler(10, 2, skipped=skipped, rank=rank, num_ranks=num_ranks).batches for rank in range(num_ranks)
    ]
    assert len({len(share) for share in shares}) == 1
    batches = sorted(rows for share in shares for rows in share if rows)
    assert batches == [[0, 1], [2, 3], [6, 7], [9]]  # whoever has them


def test_where_all_is_done_there_is_an_empty_batch():
    assert list(EvalBatchSampler(2, 1, skipped=frozenset({0, 1}), rank=0, num_ranks=1)) == [[]]
