"""Clips of videos that carry their frame numbers."""

import logging
import pickle

import torch

from nlvideo.data.clips import ClipTransform
from nlvideo.data.eval_dataset import EvalVideos
from nlvideo.data.flip_labels import flipped_labels
from nlvideo.data.manifest import Sample
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.train_dataset import TrainClips
from nlvideo.data.transforms import RandomCrop


def train_clips(samples, transform=None, **options):
    transform = transform or ClipTransform(RandomCrop(64))
    return TrainClips(samples, sampling=ClipSampling(4, 8), transform=transform, **options)


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


def test_training_replaces_by_the_same_class_and_reports_once(samples, read_numbers, caplog):
    dataset = train_clips(samples)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            for row, stand_in in ((2, 0), (3, 1)):
                clip = dataset[row]
                assert (clip.label.item(), clip.index.item()) == (samples[row].label, stand_in)
    assert len(caplog.records) == 2
    assert f"{samples[2].path}: no such file" in caplog.text
    assert f"{samples[3].path}: decord: " in caplog.text
    assert dataset.failures.in_epoch == 6


def test_where_nothing_can_be_read_the_search_for_a_replacement_ends(samples):
    assert train_clips([samples[2]] * 3)[0] is None


def test_several_clips_from_one_decode(samples, read_numbers, monkeypatch):
    from nlvideo.data import reading

    opened = []
    video = reading.Video
    monkeypatch.setattr(reading, "Video", lambda *args: opened.append(args) or video(*args))
    torch.manual_seed(0)
    clips = train_clips(samples, repeats=3)[0]
    assert clips.video.shape == (3, 1, 3, 4, 64, 64)
    assert (clips.label.tolist(), clips.index.tolist()) == ([1] * 3, [0] * 3)
    assert len({start for ((start, *_),) in read_numbers(clips.video)}) == 3
    assert len(opened) == 1


def test_a_flip_exchanges_left_and_right_classes_and_leaves_the_rest(samples):
    names = ["pushing it left", "pushing it right", "turning left"]
    assert flipped_labels(names) == [1, 0, None]
    transform = ClipTransform(
        RandomCrop(64),
        # A picture that is black on the left and white on the right.
        lambda frames: torch.cat([frames[..., :32] * 0, frames[..., :32] * 0 + 255], dim=-1),
        flipped_labels(names),
    )
    dataset = train_clips([Sample(samples[0].path, label, "long.mp4") for label in range(3)], transform)
    torch.manual_seed(0)
    seen = set()
    for row in [0, 1, 2] * 10:
        clip = dataset[row]
        seen.add((row, clip.label.item(), bool(clip.video[..., 0].any())))
    assert seen == {(0, 0, False), (0, 1, True), (1, 1, False), (1, 0, True), (2, 2, False)}


def test_pickling_a_dataset_opens_nothing(samples):
    for dataset in (train_clips(samples), EvalVideos(samples, sampling=ClipSampling(4, 8), short_side=None)):
        assert len(pickle.dumps(dataset)) < 5_000
        assert len(pickle.loads(pickle.dumps(dataset))) == 4
