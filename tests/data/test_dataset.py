"""Clips of videos that carry their frame numbers."""

import logging
import pickle
import time

import pytest
import torch

from nlvideo.data.dataset import EvalViews, TrainClips, collate
from nlvideo.data.decode import DecodeError
from nlvideo.data.labels import mirrored_labels
from nlvideo.data.manifest import Sample
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.transforms import train_transform


@pytest.fixture(scope="module")
def samples(tmp_path_factory, write_numbered):
    """Videos of 100 and of 20 frames, one that is missing, one that is not a video."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "text.mp4").write_text("not a video")
    return [
        Sample(write_numbered(folder / "long.mp4", 100), 1),
        Sample(write_numbered(folder / "short.mp4", 20), 0),
        Sample(folder / "absent.mp4", 1),
        Sample(folder / "text.mp4", 0),
    ]


def train_clips(samples, **options):
    transform = train_transform(64, short_side=None)
    return TrainClips(samples, **{"sampling": ClipSampling(4, 8), "transform": transform, **options})


def eval_views(samples, **options):
    return EvalViews(samples, **{"clip_frames": 4, "stride": 8, "short_side": None, "crop": 64, **options})


def test_a_training_clip_is_dense_and_its_start_is_random(samples, read_numbers):
    torch.manual_seed(0)
    starts = set()
    for _ in range(30):
        clip = train_clips(samples)[0]
        assert (clip.video.shape, clip.video.dtype) == ((1, 1, 3, 4, 64, 64), torch.uint8)
        assert (clip.label.tolist(), clip.index.tolist()) == ([1], [0])
        ((start, *rest),) = read_numbers(clip.video[0])
        assert rest == [start + 8, start + 16, start + 24]
        assert 0 <= start <= 75
        starts.add(start)
    assert len(starts) > 15


def test_a_clip_longer_than_the_video_repeats_the_last_frame(samples, read_numbers):
    assert read_numbers(train_clips(samples)[1].video) == [[[0, 8, 16, 19]]]
    assert read_numbers(eval_views(samples)[1].video) == [[0, 8, 16, 19]]


def test_clip_level_is_the_centre_clip(samples, read_numbers):
    assert read_numbers(eval_views(samples)[0].video) == [[37, 45, 53, 61]]


def test_video_level_adds_uniform_clips_times_crops(samples, read_numbers):
    clip = eval_views(samples, num_clips=3, num_crops=2)[0]
    assert clip.video.shape == (7, 3, 4, 64, 64)
    starts = [start for start, *_ in read_numbers(clip.video)]
    assert starts == [37, 0, 0, 38, 38, 75, 75]


def test_all_views_of_a_video_come_from_one_decode(samples, monkeypatch):
    from nlvideo.data import dataset

    calls = []
    decode = dataset.Video.frames
    monkeypatch.setattr(dataset.Video, "frames", lambda self, wanted: calls.append(len(wanted)) or decode(self, wanted))
    views = eval_views(samples, num_clips=3, num_crops=3)[1].video
    assert len(views) == 10
    assert calls == [4]  # in 20 frames, every clip is 0, 8, 16, 19


def test_evaluation_counts_as_missing(samples, caplog):
    for row in (2, 3):
        with caplog.at_level(logging.WARNING):
            assert eval_views(samples)[row] is None
        assert str(samples[row].path) in caplog.text


def test_training_replaces_by_the_same_class_and_reports_once(samples, read_numbers, caplog):
    dataset = train_clips(samples)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            for row, stand_in in ((2, 0), (3, 1)):
                clip = dataset[row]
                assert (clip.label.item(), clip.index.item()) == (samples[row].label, stand_in)
    assert len(caplog.records) == 2
    assert f"{samples[2].path}: no such file" in caplog.text
    assert f"{samples[3].path}: PyAV: Invalid data" in caplog.text
    assert dataset.failures.in_epoch == 6


def test_where_nothing_can_be_read_the_search_for_a_replacement_ends(samples):
    assert train_clips([samples[2]] * 3)[0] is None


def test_several_clips_from_one_decode(samples, read_numbers, monkeypatch):
    from nlvideo.data import dataset

    opened = []
    video = dataset.Video
    monkeypatch.setattr(dataset, "Video", lambda *args: opened.append(args) or video(*args))
    torch.manual_seed(0)
    clips = train_clips(samples, repeats=3)[0]
    assert clips.video.shape == (3, 1, 3, 4, 64, 64)
    assert (clips.label.tolist(), clips.index.tolist()) == ([1] * 3, [0] * 3)
    assert len({start for ((start, *_),) in read_numbers(clips.video)}) == 3
    assert len(opened) == 1


def test_a_flip_exchanges_left_and_right_classes_and_leaves_the_rest(samples):
    names = ["pushing it left", "pushing it right", "turning left"]
    assert mirrored_labels(names) == [1, 0, None]
    dataset = train_clips(
        [Sample(samples[0].path, label) for label in range(3)],
        mirrored=mirrored_labels(names),
        # A picture that is black on the left and white on the right.
        transform=lambda frames: torch.cat([frames[..., :32] * 0, frames[..., :32] * 0 + 255], dim=-1),
    )
    torch.manual_seed(0)
    seen = set()
    for row in [0, 1, 2] * 10:
        clip = dataset[row]
        seen.add((row, clip.label.item(), bool(clip.video[..., 0].any())))
    assert seen == {(0, 0, False), (0, 1, True), (1, 1, False), (1, 0, True), (2, 2, False)}


def test_a_video_that_hangs_is_named(samples, monkeypatch):
    from nlvideo.data import dataset

    monkeypatch.setattr(dataset.Video, "frames", lambda *_: time.sleep(60))
    with pytest.raises(DecodeError, match=rf"{samples[0].path}: reading it took longer than 0\.05 seconds"):
        eval_views(samples, seconds=0.05).views(samples[0].path)


def test_collate_drops_the_missing(samples):
    dataset = eval_views(samples)
    batch = collate([dataset[row] for row in range(4)])
    assert batch.video.shape == (2, 1, 3, 4, 64, 64)
    assert (batch.label.tolist(), batch.index.tolist()) == ([1, 0], [0, 1])
    assert collate([None, None]) is None


def test_pickling_a_dataset_opens_nothing(samples):
    for dataset in (train_clips(samples), eval_views(samples)):
        assert len(pickle.dumps(dataset)) < 5_000
        assert len(pickle.loads(pickle.dumps(dataset))) == 4
