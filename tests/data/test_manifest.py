"""Manifests, good and bad: the message names the file, the place and the remedy."""

from pathlib import Path

import pytest

from nlvideo.data.manifest import Sample, read_class_names, read_manifest


@pytest.fixture
def manifest(tmp_path):
    def write(text):
        (tmp_path / "train.csv").write_text(text)
        return tmp_path / "train.csv"

    return write


def test_paths_are_relative_to_the_manifest_or_absolute_and_keep_their_spaces(manifest, tmp_path):
    path = manifest('path,label,note\nair drumming/a b.mp4,1,x\n/data/c.mp4,0,y\n"d, e.mp4",02,\n')
    assert read_manifest(path, 3) == [
        Sample(tmp_path / "air drumming/a b.mp4", 1, "air drumming/a b.mp4"),
        Sample(Path("/data/c.mp4"), 0, "/data/c.mp4"),
        Sample(tmp_path / "d, e.mp4", 2, "d, e.mp4"),
    ]


@pytest.mark.parametrize("separator", [" ", ",", "\t", ", "])
def test_lists_of_other_codebases_are_used_unchanged(manifest, tmp_path, separator):
    path = manifest(f"air drumming/a b 7.mp4{separator}1\n/data/c.mp4{separator}0\n\n")
    assert read_manifest(path, 2) == [
        Sample(tmp_path / "air drumming/a b 7.mp4", 1, "air drumming/a b 7.mp4"),
        Sample(Path("/data/c.mp4"), 0, "/data/c.mp4"),
    ]
    assert read_manifest(path, 2, root="/videos")[0].path == Path("/videos/air drumming/a b 7.mp4")


def test_mmactions_list_of_frame_folders(manifest, tmp_path):
    (tmp_path / "air drumming/a b").mkdir(parents=True)
    path = manifest("air drumming/a b 300 1\nc d 12 0\n")
    assert read_manifest(path, 2) == [
        Sample(tmp_path / "air drumming/a b", 1, "air drumming/a b"),
        Sample(tmp_path / "c d", 0, "c d"),
    ]


def test_a_missing_manifest(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train\.csv: no such file; expected a CSV"):
        read_manifest(tmp_path / "train.csv", 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "train.csv: no column path or label"),
        ("path,label\n", "train.csv: no videos, only a header"),
        ("a.mp4\nb.mp4\n", "train.csv: no column path or label; .* is 'a.mp4'"),
        ("a.mp4 0\nb.mp4\n", "train.csv, line 2: 'b.mp4'; expected a path and a label as in the first line"),
        ("a.mp4 0\nb.mp4 2\n", "train.csv, line 2: label '2'"),
        ("path,class\na.mp4,0\n", "train.csv: no column label; "),
        ("path,label\na.mp4,0\nb.mp4,2\n", "train.csv, line 3: label '2'; .* from 0 to 1, .*num_classes is 2"),
        ("path,label\na.mp4,-1\n", "line 2: label '-1'; expected a whole number"),
        ("path,label\na.mp4,abseiling\n", "line 2: label 'abseiling'"),
        ("path,label\na.mp4\n", "line 2: 1 fields, 'a.mp4', but the header path,label has 2"),
        ("path,label\na.mp4,0,1\n", "line 2: 3 fields, 'a.mp4,0,1', but the header path,label has 2; .* quotes"),
        ("path,label\n\n\na.mp4,0\n\nb.mp4,2\n", "line 6: label '2'"),
        ("path,label\na.mp4,0\nb.mp4,1\n./a.mp4,1\n", r"line 4: \./a\.mp4 has label 1 here and 0 in line 2"),
        ("a.mp4 0\n\na.mp4 1\n", r"line 3: a\.mp4 has label 1 here and 0 in line 1"),
    ],
)
def test_bad_manifests(manifest, text, message):
    with pytest.raises(ValueError, match=message):
        read_manifest(manifest(text), 2)


@pytest.mark.parametrize("text", ["a.mp4 1\nb.mp4 0\n", "path,label\na.mp4,1\nb.mp4,0\n"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(manifest, tmp_path, text):
    path = manifest("")
    path.write_bytes(text.encode("utf-8-sig"))
    assert [sample.id for sample in read_manifest(path, 2)] == ["a.mp4", "b.mp4"]
    (tmp_path / "classes.txt").write_bytes("abseiling\nair drumming\n".encode("utf-8-sig"))
    assert read_class_names(path, 2) == ["abseiling", "air drumming"]


def test_a_video_may_be_named_twice_with_one_label(manifest):
    assert [sample.label for sample in read_manifest(manifest("a.mp4 1\na.mp4 1\n"), 2)] == [1, 1]


def test_class_names_lie_beside_the_manifest(manifest, tmp_path):
    path = manifest("path,label\na.mp4,0\n")
    assert read_class_names(path, 2) == ["class 0", "class 1"]
    (tmp_path / "classes.txt").write_text("abseiling\nair drumming\n")
    assert read_class_names(path, 2) == ["abseiling", "air drumming"]
    with pytest.raises(ValueError, match=r"classes\.txt: 2 class names, but data\.num_classes is 3"):
        read_class_names(path, 3)
