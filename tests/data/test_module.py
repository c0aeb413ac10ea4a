"""VideoData from manifests to batches, with and without worker processes."""

import re
from types import SimpleNamespace

import pytest
import torch

from nlvideo.data.module import VideoData
from nlvideo.data.transforms import Augment


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_numbered):
    """train.csv: six videos of two classes; val.csv: three, of which one is missing."""
    folder = tmp_path_factory.mktemp("data")
    names = [write_numbered(folder / f"{i}.mp4", 20 + i).name for i in range(6)]
    rows = [f"{name},{i % 2}\n" for i, name in enumerate(names)]
    (folder / "train.csv").write_text("path,label\n" + "".join(rows))
    (folder / "val.csv").write_text("path,label\n" + rows[0] + "absent.mp4,1\n" + rows[1])
    (folder / "classes.txt").write_text("even\nodd\n")
    return folder


def video_data(folder, **options):
    small = {"clip_frames": 4, "frame_interval": 4, "short_side": None, "crop_size": 64, "test_crop_size": None}
    small |= {"eval_short_side": None, "num_clips": 2, "num_crops": 3, "batch_size": 3, "num_workers": 0}
    return VideoData(
        **{"num_classes": 2, "train": str(folder / "train.csv"), "val": str(folder / "val.csv"), **small, **options}
    )


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_of_every_stage(folder, read_numbers, num_workers):
    data = video_data(folder, num_workers=num_workers)
    data.setup("fit")
    data.setup("test")
    batches = list(data.train_dataloader())
    assert [batch.video.shape for batch in batches] == [(3, 1, 3, 4, 64, 64)] * 2
    assert sorted(torch.cat([batch.index for batch in batches]).tolist()) == [0, 1, 2, 3, 4, 5]
    for batch in batches:
        assert batch.video.dtype == torch.uint8
        assert (batch.label == batch.index % 2).all()
        for (start, *rest), index in zip(read_numbers(batch.video[:, 0]), batch.index, strict=True):
            assert rest == [start + 4, start + 8, start + 12]
            assert 0 <= start <= 20 + index - 13

    assert [[video.index for video in batch] for batch in data.val_dataloader()] == [[0, 2]]
    (video,), *_ = data.test_dataloader()
    numbers = read_numbers(video.frames[video.clips], time_dim=-4)  # of the centre clip, then of video level
    assert numbers == [[3, 7, 11, 15], [0, 4, 8, 12], [7, 11, 15, 19]]
    assert list(data.views("val")) == ["clip"]
    assert {level: (views.crop, views.num_crops) for level, views in data.views("test").items()} == {
        "clip": (64, 1),
        "video": (64, 3),
    }


def test_evaluation_batches_have_as_many_views_as_training_batches(folder):
    for options, num_videos in (({}, 1), ({"num_crops": 1}, 3), ({"num_crops": 1, "eval_batch_size": 2}, 2)):
        data = video_data(folder, val=str(folder / "train.csv"), batch_size=6, num_clips=2, **options)
        data.setup("fit")
        data.setup("test")
        assert len(next(iter(data.val_dataloader()))) == options.get("eval_batch_size", 6)
        assert len(next(iter(data.test_dataloader()))) == num_videos


def test_spawned_workers_read_the_same_as_this_process(folder, read_numbers):
    """Workers are forked on Linux and spawned elsewhere."""
    data = video_data(folder, num_workers=1, eval_batch_size=3)
    data.setup("test")
    loader = data.test_dataloader()
    loader.multiprocessing_context = "spawn"
    (batch,) = loader
    assert [video.index for video in batch] == [0, 2]
    assert read_numbers(batch[0].frames[batch[0].clips], time_dim=-4)[0] == [3, 7, 11, 15]


def test_two_epochs_draw_different_clips(folder, read_numbers):
    data = video_data(folder, num_workers=2)
    data.setup("fit")
    loader = data.train_dataloader()

    def starts(epoch):
        found = {}
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            found |= dict(zip(batch.index.tolist(), (n[0] for n in read_numbers(batch.video[:, 0])), strict=True))
        return found

    assert starts(0) != starts(1)


def test_test_and_validation_have_manifests_of_their_own(folder, tmp_path):
    (tmp_path / "test.csv").write_text(f"{folder / '4.mp4'} 0\n{folder / '5.mp4'} 1\n")
    data = video_data(folder, test=str(tmp_path / "test.csv"))
    data.setup("validate")
    data.setup("test")
    assert len(list(data.test_dataloader())) == 2
    assert [sample.path.name for sample in data.samples["test"]] == ["4.mp4", "5.mp4"]
    assert [sample.path.name for sample in data.samples["val"]] == ["0.mp4", "absent.mp4", "1.mp4"]


def test_class_names_and_preprocessing(folder):
    data = video_data(folder)
    assert data.class_names == ["even", "odd"]
    assert data.preprocessing == {
        "clip_frames": 4,
        "frame_interval": 4,
        "kind": "dense",
        "target_fps": None,
        "short_side": None,
        "crop_size": 64,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 1}, r"train\.csv, line 3: label '1'"),
        ({"num_classes": 3}, r"classes\.txt: 2 class names, but data\.num_classes is 3"),
        ({"train": None}, r"data\.train: not given; set it to a manifest"),
        ({"batch_size": 7}, r"train\.csv: 6 videos do not fill one batch on each device; set data\.batch_size"),
        ({"batch_size": 0}, r"data\.batch_size: expected at least 1, got 0"),
        ({"batch_size": 4, "repeats": 3}, r"data\.batch_size: expected a multiple of data\.repeats 3, got 4"),
        ({"short_side": (48, 64)}, r"data\.short_side: expected two rising lengths of at least the crop of 64"),
        ({"short_side": (64, 80), "crop_padding": 2}, r"data\.crop_padding: 2 has no effect with data\.short_side"),
        ({"num_classes": 0}, r"data\.num_classes: expected at least 1, got 0"),
        ({"eval_short_side": 0}, r"data\.eval_short_side: expected at least 1, got 0"),
        ({"test_crop_size": -1}, r"data\.test_crop_size: expected at least 1, got -1"),
        ({"decoder": "torchcodec_cuda", "num_workers": 2}, r"data\.num_workers: expected 0 for torchcodec_cuda"),
        ({"num_workers": -1}, r"data\.num_workers: expected at least 0, got -1"),
        ({"crop_padding": -1}, r"data\.crop_padding: expected at least 0, got -1"),
        ({"decode_timeout": -1.0}, r"data\.decode_timeout: expected a positive number, got -1"),
        ({"decode_timeout": float("nan")}, r"data\.decode_timeout: expected a positive number, got nan"),
        ({"target_fps": 0.0}, r"data\.target_fps: expected a positive number, got 0"),
        ({"max_failed": 5.0}, r"data\.max_failed: expected a part of an epoch, 0 to 1, got 5"),
        ({"protocol": "middle"}, r"data\.protocol: there is no 'middle'; expected one of uniform, nln, slowfast"),
        (
            {"protocol": "full", "num_crops": 3},
            r"data\.num_crops: expected 1 for protocol full, which sees whole frames, got 3",
        ),
        ({"protocol": "nln", "target_fps": 30.0}, r"protocol nln takes frames as they are stored"),
        ({"protocol": "nln", "sampling": "segments"}, r"protocol nln is for dense clips"),
        ({"protocol": "slowfast", "num_crops": 5}, r"data\.num_crops: expected 1 or 3 for protocol slowfast, got 5"),
    ],
)
def test_settings_that_do_not_fit_the_data(folder, options, message):
    with pytest.raises(ValueError, match=message):
        video_data(folder, **options).setup("fit")


@pytest.fixture
def broken(folder, tmp_path):
    """A manifest of 40 videos of which the first `num_broken` are missing."""

    def write(num_broken):
        rows = [f"absent{i}.mp4,{i % 2}\n" for i in range(num_broken)]
        rows += [f"{folder / f'{i % 6}.mp4'},{i % 2}\n" for i in range(40 - num_broken)]
        (tmp_path / "train.csv").write_text("path,label\n" + "".join(rows))
        return str(tmp_path / "train.csv")

    return write


@pytest.mark.parametrize("num_workers", [0, 2])
def test_failures_are_counted_for_each_epoch(folder, broken, num_workers):
    data = video_data(folder, train=broken(2), batch_size=4, num_workers=num_workers)
    data.setup("fit")
    loader = data.train_dataloader()
    for _ in range(2):
        batches = list(loader)
        assert [len(batch.label) for batch in batches] == [4] * 10
        assert data.num_failed == 2


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(
    ("num_broken", "message"),
    [
        (10, r"^\d+ of the 40 samples of this epoch could not be read, more than data\.max_failed 0\.05 allows, "),
        (40, r"^(a video and all tried in its place|none of the first \d+ videos|\d+ of the 40 samples).* could"),
    ],
)
def test_too_many_failures_stop_the_run_with_one_line(folder, broken, num_broken, message, num_workers):
    data = video_data(folder, train=broken(num_broken), batch_size=4, num_workers=num_workers)
    data.setup("fit")
    try:  # not pytest.raises, which keeps the frames and with them the workers
        list(data.train_dataloader())
        raised = None
    except ValueError as error:
        raised = str(error)
    assert re.search(message, raised)
    assert "\n" not in raised


def test_a_batch_is_augmented_on_the_device_in_training_only(folder):
    data = video_data(folder, augment_on_device=True, augment=Augment(mixup=0.5), num_workers=0)
    data.setup("fit")
    data.trainer = SimpleNamespace(training=True, global_rank=0, world_size=1)
    batch = next(iter(data.train_dataloader()))
    assert [cut.frames[0].shape for cut in batch] == [(4, 3, 64, 64)] * 3
    clips = data.on_after_batch_transfer(batch, 0)
    assert (clips.video.shape, clips.label.shape) == ((3, 1, 3, 4, 64, 64), (3, 2))
    assert torch.equal(data.augment_batch(batch).index, clips.index)
    data.trainer.training = False
    videos = next(iter(data.val_dataloader()))
    assert data.on_after_batch_transfer(videos, 0) is videos


def test_repeats_fill_the_batch_with_fewer_videos(folder):
    data = video_data(folder, batch_size=6, repeats=3)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch.video.shape == (6, 1, 3, 4, 64, 64)
    assert len(batch.index.unique()) == 2
