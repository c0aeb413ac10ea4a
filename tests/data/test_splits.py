"""Folders as data sets, and validation videos held out of the training videos."""

import pytest

import nlvideo
from nlvideo.__main__ import main
from nlvideo.data.module import VideoData
from nlvideo.data.splits import Splits


@pytest.fixture
def folder(tmp_path):
    """folder(name, {class: number of videos}): empty files in a folder for each class."""

    def write(name, classes):
        for class_name, count in classes.items():
            (tmp_path / name / class_name).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                (tmp_path / name / class_name / f"{i}.mp4").touch()
        return str(tmp_path / name)

    return write


def ids(videos):
    return {video.id for video in videos}


def test_a_folder_of_class_folders_is_a_data_set(folder):
    splits = Splits(3, folder("train", {"b": 2, "a c": 1, "d": 1}), folder("val", {"d": 1, "b": 1}), None)
    assert splits.class_names == ["a c", "b", "d"]
    found = [(video.path, video.label, video.id) for video in splits.read("train")]
    assert [(label, name) for _, label, name in found] == [
        (0, "a c/0.mp4"),
        (1, "b/0.mp4"),
        (1, "b/1.mp4"),
        (2, "d/0.mp4"),
    ]
    assert all(path.is_file() for path, *_ in found)
    assert [(video.label, video.id) for video in splits.read("val")] == [(1, "b/0.mp4"), (2, "d/0.mp4")]
    assert splits.read("test") == splits.read("val")


def test_videos_stay_in_their_split_when_others_are_added(folder):
    def split(counts):
        splits = Splits(2, folder("train", counts), 0.2, None)
        train, val = splits.read("train"), splits.read("val")
        assert splits.read("test") == val
        assert ids(train).isdisjoint(ids(val))
        assert len(train) + len(val) == sum(counts.values())
        return ids(train), ids(val)

    train, val = split({"a": 200, "b": 200})
    more_train, more_val = split({"a": 300, "b": 900})
    assert train < more_train and val < more_val
    for name in "ab":  # a fifth of 200, give or take three standard deviations
        assert 23 <= len([video for video in val if video.startswith(name)]) <= 57


def test_a_part_of_a_manifest_is_held_out_by_the_paths_that_it_writes(tmp_path):
    rows = "".join(f"{i}.mp4 {i % 2}\n" for i in range(100))
    (tmp_path / "train.txt").write_text(rows)
    (tmp_path / "more.txt").write_text(rows + "".join(f"{i}.mp4 {i % 2}\n" for i in range(100, 200)))
    before, after = (Splits(2, str(tmp_path / name), 0.3, None).read("val") for name in ("train.txt", "more.txt"))
    assert 15 < len(before) < 45
    assert ids(before) == {video.id for video in after if int(video.id[:-4]) < 100}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 3}, r"train: 2 folders, one for each class, but data\.num_classes is 3"),
        ({"val": 1.5}, r"data\.val: expected a manifest, a folder of classes, or a part of data\.train .*, got 1\.5"),
        ({"val": 0.2, "train": None}, r"data\.val: expected .* got 0\.2 of data\.train None"),
        ({"val": 0.999}, r"data\.val: 0\.999 of .*train holds out all videos of a class; choose another part"),
        ({"val": 1e-9}, r"data\.val: 1e-09 of .*train holds out none of the 20 videos"),
        ({"val": "other"}, r"other: the folder 'c' is none of the 2 classes, such as 'a'"),
        ({"val": "empty"}, r"empty: no videos in its folders"),
        ({"val": None}, r"data\.val: not given; set it to a manifest"),
    ],
)
def test_folders_and_parts_that_do_not_fit(folder, options, message):
    folder("other", {"c": 1})
    folder("empty", {"a": 0})
    given = {"num_classes": 2, "train": folder("train", {"a": 10, "b": 10}), "val": 0.2, "test": None, **options}
    if isinstance(given["val"], str):
        given["val"] = folder(given["val"], {})
    with pytest.raises(ValueError, match=message):
        splits = Splits(**given)
        for split in ("train", "val"):
            splits.read(split)


def test_a_training_needs_no_manifest(tmp_path, write_numbered, tiny):
    """From the command line; the class names go with the checkpoint."""
    for i in range(24):
        path = tmp_path / "videos" / ("even" if i % 2 == 0 else "odd") / f"{i}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_numbered(path, 16)
    data = ["--data.num_classes=2", f"--data.train={tmp_path / 'videos'}", "--data.val=0.3", "--data.clip_frames=4"]
    run = ["--name=folders", f"--runs_dir={tmp_path}", "--trainer.max_steps=1"]
    assert main(["fit", *tiny, *data, *run]) == 0
    assert nlvideo.load(tmp_path / "folders" / "last.ckpt").class_names == ["even", "odd"]


def test_validation_needs_the_part_or_a_manifest_only(folder):
    data = VideoData(2, folder("train", {"a": 10, "b": 10}), 0.2, num_workers=0)
    data.setup("validate")
    assert list(data.samples) == ["val"]
