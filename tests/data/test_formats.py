"""Annotation files in the published forms, over folders with the published names."""

import json

import pytest

from nlvideo.data import formats
from nlvideo.data.manifest import read_class_names, read_manifest


@pytest.fixture
def tree(tmp_path):
    """tree({"file": "text"}): writes them, with their folders."""

    def write(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return write


def found(listing, folder):
    return [(str(entry.path.relative_to(folder)), entry.label, entry.id) for entry in listing.entries]


def test_kinetics_finds_its_files_under_any_of_their_usual_names(tree):
    folder = tree(
        {
            "val.csv": "label,youtube_id,time_start,time_end,split\n"
            "writing,-aB c,5,15,val\nabseiling,x1,0,10,val\nair drumming,y2,12.0,22.0,val\nwriting,gone,1,11,val\n",
            "v/writing/-aB c_000005_000015.mp4": "",
            "v/x1_000000_000010.mp4": "",
            "v/air_drumming/y2.mp4": "",
        }
    )
    listing = formats.kinetics(folder / "val.csv", folder / "v")
    assert listing.classes == ["abseiling", "air drumming", "writing"]
    assert found(listing, folder / "v") == [
        ("writing/-aB c_000005_000015.mp4", 2, "-aB c_000005_000015"),
        ("x1_000000_000010.mp4", 0, "x1_000000_000010"),
        ("air_drumming/y2.mp4", 1, "y2_000012_000022"),
        ("writing/gone_000001_000011.mp4", 2, "gone_000001_000011"),
    ]
    with pytest.raises(ValueError, match=r"val\.csv: class 'air drumming' is not among the 2, such as 'abs"):
        formats.kinetics(folder / "val.csv", folder / "v", ["abseiling", "writing"])


def test_something_something_v2_numbers_templates_without_brackets(tree):
    folder = tree(
        {
            "labels.json": json.dumps({"Pushing something left": "1", "Holding something": "0"}),
            "train.json": json.dumps(
                [{"id": "78687", "label": "pushing a cup left", "template": "Pushing [something] left"}]
            ),
            "test.json": json.dumps([{"id": "1"}]),
        }
    )
    listing = formats.something_v2(folder / "train.json", folder / "labels.json", folder / "v")
    assert listing.classes == ["Holding something", "Pushing something left"]
    assert found(listing, folder / "v") == [("78687.webm", 1, "78687")]
    with pytest.raises(ValueError, match="the test split is published without"):
        formats.something_v2(folder / "test.json", folder / "labels.json", folder / "v")


def test_something_something_v1_has_folders_of_frames(tree):
    folder = tree({"labels.csv": "Holding it\nTurning it\n", "train.csv": "100218;Turning it\n7;Holding it\n"})
    listing = formats.something_v1(folder / "train.csv", folder / "labels.csv", folder / "v")
    assert found(listing, folder / "v") == [("100218", 1, "100218"), ("7", 0, "7")]


def test_ucf101_training_and_test_lists(tree):
    folder = tree(
        {
            "classInd.txt": "1 ApplyEyeMakeup\n2 Archery\n",
            "trainlist01.txt": "Archery/v_Archery_g08_c01.avi 2\n",
            "testlist01.txt": "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\n",
            "v/Archery/v_Archery_g08_c01.avi": "",
            "v/v_ApplyEyeMakeup_g01_c01.avi": "",
        }
    )
    train = formats.ucf101(folder / "trainlist01.txt", folder / "classInd.txt", folder / "v")
    assert found(train, folder / "v") == [("Archery/v_Archery_g08_c01.avi", 1, "v_Archery_g08_c01")]
    test = formats.ucf101(folder / "testlist01.txt", folder / "classInd.txt", folder / "v")
    assert found(test, folder / "v") == [("v_ApplyEyeMakeup_g01_c01.avi", 0, "v_ApplyEyeMakeup_g01_c01")]


def test_hmdb51_splits(tree):
    folder = tree(
        {
            "s/brush_hair_test_split1.txt": "a b_brush_hair.avi 1 \nc.avi 2 \nd.avi 0 \n",
            "s/wave_test_split1.txt": "e.avi 1 \n",
            "s/wave_test_split2.txt": "e.avi 2 \n",
        }
    )
    train = formats.hmdb51(folder / "s", folder / "v", 1, "train")
    assert train.classes == ["brush_hair", "wave"]
    assert found(train, folder / "v") == [
        ("brush_hair/a b_brush_hair.avi", 0, "a b_brush_hair"),
        ("wave/e.avi", 1, "e"),
    ]
    assert found(formats.hmdb51(folder / "s", folder / "v", 1, "test"), folder / "v") == [("brush_hair/c.avi", 0, "c")]
    with pytest.raises(ValueError, match=r"no file \*_test_split3\.txt"):
        formats.hmdb51(folder / "s", folder / "v", 3, "train")


def test_folders_hold_videos_or_folders_of_frames(tree):
    folder = tree({"v/b/2.mp4": "", "v/a/1.webm": "", "v/a/notes.txt": "", "v/b/frames/00001.jpg": ""})
    listing = formats.folders(folder / "v")
    assert listing.classes == ["a", "b"]
    assert found(listing, folder / "v") == [("a/1.webm", 0, "1"), ("b/2.mp4", 1, "2"), ("b/frames", 1, "frames")]


def test_make_manifest_writes_what_the_data_module_reads(tmp_path, write_numbered, run_tool):
    for name, num_frames in (("air drumming/a b.mp4", 20), ("writing/c.webm", 12)):
        (tmp_path / name).parent.mkdir()
        codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
        write_numbered(tmp_path / name, num_frames, 10, codec=codec)
    output = run_tool("make_manifest.py", "folders", tmp_path, tmp_path / "train.csv", "--workers", "1")
    assert "2 videos of 2 classes" in output
    assert (tmp_path / "train.csv").read_text().splitlines() == [
        "path,label,id,num_frames,fps,width,height,duration",
        "air drumming/a b.mp4,0,a b,20,10.0,96,64,2.0",
        "writing/c.webm,1,c,12,10.0,96,64,1.2",
    ]
    samples = read_manifest(tmp_path / "train.csv", 2)
    assert [sample.path.is_file() for sample in samples] == [True, True]
    assert read_class_names(tmp_path / "train.csv", 2) == ["air drumming", "writing"]
