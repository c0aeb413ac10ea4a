"""The data set against its rules: scenes as drawn, pixels as encoded and decoded, folders as left behind."""

import csv
import json
from collections import Counter
from dataclasses import replace

import av
import numpy as np
import pytest

from nlvideo.data.prepare.encode import write_video
from nlvideo.visitors import dataset as visitors
from nlvideo.visitors import render as visitors_render
from nlvideo.visitors.dataset import CLASS_NAMES, make_visitors
from nlvideo.visitors.render import render
from nlvideo.visitors.scene import (
    COLOUR_JITTER,
    COLOURS,
    FPS,
    SHAPES,
    WALL_TOP,
    VisitorOptions,
    draw_scene,
    nth_scene,
)

SCENES = [nth_scene(1, index) for index in range(200)]
ORDER = VisitorOptions(task="order")
SIX_COLOURS = VisitorOptions(num_colours=6, min_visit_frames=6)


def nearest_colour(rgb) -> str:
    return min(COLOURS, key=lambda name: np.linalg.norm(np.subtract(COLOURS[name], rgb)))


def read(path) -> np.ndarray:
    """The decoded frames, int [T, H, W, 3]: signed, to subtract them."""
    with av.open(path) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)


def coloured(frames: np.ndarray) -> np.ndarray:
    """Number of pixels a frame that are clearly not grey; noise, background and bricks are nearly grey."""
    return (np.ptp(frames, axis=-1) > 60).sum(axis=(1, 2))  # [T]


# Scenes


@pytest.mark.parametrize(("options", "min_frames"), [(VisitorOptions(), 7), (SIX_COLOURS, 6)])
def test_scenes_keep_the_rules(options, min_frames):
    durations = set()
    for scene in [nth_scene(5, index, options) for index in range(200)]:
        # The label, from nothing but the colours that are seen.
        seen = [nearest_colour(visit.rgb) for visit in scene.visits]
        assert scene.label == len(set(seen)) - 1
        assert seen == [scene.visitors[visit.visitor].colour for visit in scene.visits]
        assert set(seen) <= set(list(COLOURS)[: options.num_colours])
        assert len(scene.visits) == 4
        assert scene.visits[0].start >= 0
        assert scene.visits[-1].frames.stop <= 64
        for earlier, later in zip(scene.visits, scene.visits[1:], strict=False):
            assert later.start - earlier.frames.stop >= 1
        for visit in scene.visits:
            assert 9 <= visit.radius <= 10.5
            assert np.abs(np.subtract(visit.rgb, COLOURS[nearest_colour(visit.rgb)])).max() <= COLOUR_JITTER
            assert scene.visitors[visit.visitor].shape in SHAPES
            assert np.abs(visit.x - 31.5) + visit.radius + visit.sway_pixels <= 32
            assert visit.radius <= visit.y <= WALL_TOP - visit.radius / 2
            durations.add(visit.num_frames)
    assert durations == set(range(min_frames, 12))


def test_classes_are_balanced_and_visits_shared_out_as_specified():
    assert Counter(scene.label for scene in SCENES) == dict.fromkeys(range(4), 50)
    rng = np.random.default_rng(0)
    shares = Counter()
    for num_visitors in (1, 2, 3, 4):
        for _ in range(500):
            counts = Counter(visit.visitor for visit in draw_scene(rng, num_visitors).visits)
            shares[tuple(sorted(counts.values(), reverse=True))] += 1
    assert shares.keys() == {(4,), (3, 1), (2, 2), (2, 1, 1), (1, 1, 1, 1)}
    assert 200 <= shares[3, 1] <= 300  # of 500, equally often: 4.5 standard deviations each way


def test_order_shapes_and_times_are_not_tied_to_the_class():
    two = [scene for scene in SCENES if scene.label == 1]
    # Which visits are those of the first to come: with two visitors, any but all four.
    orders = {tuple(visit.visitor == scene.visits[0].visitor for visit in scene.visits) for scene in two}
    assert len(orders) == 2**3 - 1
    same_shape = [scene.visitors[0].shape == scene.visitors[1].shape for scene in two]
    assert any(same_shape) and not all(same_shape)
    starts = [np.mean([s.visits[k].start for s in SCENES if s.label == label]) for label in range(4) for k in (0, 3)]
    assert np.ptp(starts[0::2]) < 5
    assert np.ptp(starts[1::2]) < 5


def test_the_standard_form_is_the_one_that_was_measured():
    """Other draws would make other videos: then raise VERSION."""
    scene = nth_scene(1, 2)
    visits = [(visit.visitor, visit.start, visit.num_frames, round(visit.x, 3), visit.rgb) for visit in scene.visits]
    assert visits == [
        (0, 13, 7, 49.565, (229, 200, 51)),
        (2, 29, 7, 31.763, (70, 115, 247)),
        (0, 41, 7, 49.547, (228, 227, 41)),
        (1, 52, 8, 25.175, (61, 168, 75)),
    ]
    assert scene.noise_seed == 3094928386819790857


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_colours": 7}, "num_colours is 7: expected 4 to 6"),
        ({"min_visit_frames": 12}, "min_visit_frames is 12: expected 4"),
        ({"task": "first"}, "task is 'first': expected count or order"),
        ({"task": "order", "num_colours": 5}, "num_colours is 5: task order has 4"),
    ],
)
def test_impossible_options_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        VisitorOptions(**settings)


def test_in_the_order_task_classes_differ_in_the_order_of_visits_alone():
    """Four videos, one of each class, show the very same visits: no frame and no set of frames tells them apart, only
    who came first."""
    first, orders = [], set()
    for group in range(50):
        scenes = [nth_scene(1, 4 * group + i, ORDER) for i in range(4)]
        assert [scene.label for scene in scenes] == [0, 1, 2, 3]
        sets = {frozenset(replace(visit, start=0) for visit in scene.visits) for scene in scenes}
        assert len(sets) == 1 and len(next(iter(sets))) == 4
        for scene in scenes:
            colours = [scene.visitors[visit.visitor].colour for visit in scene.visits]
            assert [nearest_colour(visit.rgb) for visit in scene.visits] == colours
            assert colours[0] == list(COLOURS)[scene.label]
            assert sorted(colours) == sorted(list(COLOURS)[:4])
            assert scene.visits[0].start >= 0 and scene.visits[-1].frames.stop <= 64
            for earlier, later in zip(scene.visits, scene.visits[1:], strict=False):
                assert later.start - earlier.frames.stop >= 1
            orders.add(tuple(colours))
            first.append(scene.visits[0].start)
    assert len(orders) == 24  # all of them
    by_class = np.reshape(first, (50, 4)).mean(axis=0)
    assert np.ptp(by_class) < 5  # when the first one comes does not tell either
    assert len({nth_scene(1, i, ORDER).noise_seed for i in range(40)}) == 40


# Pixels


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_visitors(tmp_path_factory.mktemp("data") / "visitors", num_train=12, num_val=8)


def test_encoded_videos_show_their_scenes(made):
    """Visible in the frames of its visits and in no others, in its colour, and never in front of the wall."""
    with open(made.folder / "train.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    for index, row in enumerate(rows):
        scene = nth_scene(1, index)
        frames = read(made.folder / row["path"])
        assert frames.shape == (64, 64, 64, 3)
        assert int(row["label"]) == scene.label
        on = np.zeros(64, bool)
        for visit in scene.visits:
            on[visit.frames] = True
            middle = frames[visit.start + visit.num_frames // 2]
            # 3 x 3 pixels in the middle: inside every shape, and the noise, sigma 6, averages out to 2.
            x, y = round(visit.x), round(visit.y)
            patch = middle[y - 1 : y + 2, x - 1 : x + 2].mean(axis=(0, 1))
            assert nearest_colour(patch) == scene.visitors[visit.visitor].colour
            np.testing.assert_allclose(patch, visit.rgb, atol=20)
        count = coloured(frames)
        assert (count[on] > 20).all()
        assert (count[~on] <= 8).all()  # two blocks of chroma: what compression may leave behind
        assert (coloured(frames[:, WALL_TOP + 2 :]) == 0).all()  # a row or two of chroma bleed where they meet


def test_encoded_as_specified(made):
    with av.open(made.folder / "val" / "00003.mp4") as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate, stream.frames) == ("h264", 16, 64)
        assert float(stream.duration * stream.time_base) == 4.0


@pytest.mark.parametrize("seed", [2, 3])
def test_a_scene_always_gives_the_same_bytes(tmp_path, seed):
    """These two came out differently about every third time while x264 was allowed B frames."""
    written = set()
    for _ in range(10):
        write_video(tmp_path / "a.mp4", render(nth_scene(seed, 1)), FPS)
        written.add((tmp_path / "a.mp4").read_bytes())
    assert len(written) == 1


def test_background_and_noise_have_the_specified_strength():
    frames = np.stack([render(scene) for scene in SCENES[:8]]).astype(float)[:, :, :12, :10]  # no figure comes here
    np.testing.assert_allclose(frames.mean(axis=(1, 2, 3)), 105, atol=4 + 1)  # the tint
    assert frames.std(axis=1).mean() == pytest.approx(6, rel=0.05)  # in time: the noise
    texture = frames.mean(axis=1).std(axis=(1, 2)).mean()  # in space, the noise of 64 frames averaged
    assert texture == pytest.approx(np.hypot(2, 6 / 8), rel=0.1)
    assert np.ptp(frames[0, 0] - frames[0, 0, :, :, :1], axis=(0, 1)).max() <= 2  # grey: rounding, and the tint


def test_rises_in_two_frames_sways_and_sinks_in_two():
    scene = next(s for s in SCENES if any(visit.num_frames == 11 for visit in s.visits))
    visit = next(visit for visit in scene.visits if visit.num_frames == 11)
    frames = render(scene).astype(int)[visit.start - 1 : visit.frames.stop + 1]
    mask = np.ptp(frames, axis=-1) > 60  # [T, H, W]
    assert not mask[0].any() and not mask[-1].any()
    tops = np.array([np.flatnonzero(frame.any(axis=1))[0] for frame in mask[1:-1]])
    assert (np.abs(tops[1:-1] - tops[5]) <= 1).all()
    assert tops[0] - tops[5] > 5 and tops[-1] - tops[5] > 5
    lefts = np.array([np.flatnonzero(frame.any(axis=0))[0] for frame in mask[2:-2]])
    assert 2 <= np.ptp(lefts) <= 6  # about 2 pixels to each side


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_antialiased_and_as_large_as_meant(shape):
    visit = next(visit for scene in SCENES for visit in scene.visits if visit.y < 30)
    alpha = visitors_render._coverage(shape, visit, visit.num_frames // 2)
    assert alpha.min() == 0 and alpha.max() == 1
    assert ((alpha > 0.1) & (alpha < 0.9)).sum() > 10
    rows, columns = np.flatnonzero(alpha.max(axis=1) > 0.5), np.flatnonzero(alpha.max(axis=0) > 0.5)
    assert 1.6 * visit.radius < np.ptp(rows) + 1 < 2.2 * visit.radius
    assert 1.6 * visit.radius < np.ptp(columns) + 1 < 2.2 * visit.radius
    areas = {"disc": np.pi, "square": 1.76**2, "triangle": 1.8, "cross": 4 * 0.72 - 0.72**2}  # in r squared
    assert alpha.sum() == pytest.approx(areas[shape] * visit.radius**2, rel=0.03)


# Folders


@pytest.fixture
def without_sheet(monkeypatch):
    """The contact sheet takes longer than all the rest, and one test looks at it."""
    monkeypatch.setattr(visitors, "save_contact_sheet", lambda path, *rest: path.touch())


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_folder_holds_what_it_should(made):
    files = contents(made.folder)
    assert len(files) == 12 + 8 + 5
    assert files["classes.txt"].decode().splitlines() == ["1 visitor", "2 visitors", "3 visitors", "4 visitors"]
    assert CLASS_NAMES["order"] == ("red first", "green first", "blue first", "yellow first")
    assert files["val.csv"].decode().splitlines()[:2] == ["path,label", "val/00000.mp4,0"]
    assert files["contact_sheet.png"][:4] == b"\x89PNG"
    assert len(files["contact_sheet.png"]) < 1e6
    assert made.num_videos == 20 and not made.was_there


def test_videos_depend_on_seed_and_index_only(made, tmp_path, without_sheet):
    """Not on the number of videos, nor on the number of workers: the same bytes."""
    other = contents(make_visitors(tmp_path / "v", num_train=5, num_val=4, workers=2).folder)
    videos = {name: data for name, data in other.items() if name.endswith(".mp4")}
    assert len(videos) == 9
    assert videos.items() <= contents(made.folder).items()
    assert len(set(contents(made.folder).values())) == 25  # and no two alike


def test_a_second_run_does_nothing(made):
    times = {path: path.stat().st_mtime_ns for path in made.folder.rglob("*")}
    assert make_visitors(made.folder, num_train=12, num_val=8).was_there
    assert {path: path.stat().st_mtime_ns for path in made.folder.rglob("*")} == times


def test_other_settings_are_refused_and_named_then_overwritten(tmp_path, without_sheet):
    make_visitors(tmp_path / "v", num_train=8, num_val=4)
    before = contents(tmp_path / "v")
    with pytest.raises(ValueError, match=r"num_colours is 4 there, 6 was asked.*num_train is 8.*--overwrite"):
        make_visitors(tmp_path / "v", num_train=4, num_val=4, options=SIX_COLOURS)
    assert contents(tmp_path / "v") == before
    make_visitors(tmp_path / "v", num_train=4, num_val=4, options=SIX_COLOURS, overwrite=True)
    assert len(list((tmp_path / "v").rglob("*.mp4"))) == 8
    assert json.loads((tmp_path / "v" / "visitors.json").read_text())["num_colours"] == 6


def test_an_interrupted_run_is_not_taken_for_complete(tmp_path, without_sheet):
    def interrupt(num_done, num_total):
        if num_done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_visitors(tmp_path / "v", num_train=4, num_val=4, on_progress=interrupt)
    assert not (tmp_path / "v" / "visitors.json").exists()
    assert not (tmp_path / "v" / "train.csv").exists()
    seen = []
    made = make_visitors(tmp_path / "v", num_train=4, num_val=4, on_progress=lambda *progress: seen.append(progress))
    assert not made.was_there
    assert seen == [(done, 8) for done in range(1, 9)]
    assert not list((tmp_path / "v").glob("*.partial"))

    # The same while replacing a complete set: from the first video on, it is not complete any more.
    with pytest.raises(KeyboardInterrupt):
        make_visitors(tmp_path / "v", num_train=5, num_val=4, overwrite=True, on_progress=interrupt)
    assert not make_visitors(tmp_path / "v", num_train=4, num_val=4).was_there

    (tmp_path / "v" / "val" / "00001.mp4").unlink()
    assert not make_visitors(tmp_path / "v", num_train=4, num_val=4).was_there


def test_a_folder_of_something_else_is_never_written_to(tmp_path):
    (tmp_path / "train.csv").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        make_visitors(tmp_path, num_train=4, num_val=4, overwrite=True)
    assert contents(tmp_path) == {"train.csv": b"mine"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_val": 3}, "num_val is 3: expected at least 4"),
        ({"train_seed": 2}, "both 2: expected two different seeds"),
        ({"val_seed": -1}, "val_seed is -1"),
        ({"workers": 0}, "workers is 0"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        make_visitors(tmp_path / "v", **arguments)
    assert not (tmp_path / "v").exists()


def test_an_unreadable_record_is_refused(tmp_path):
    (tmp_path / visitors.COMPLETE).write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        make_visitors(tmp_path, num_train=4, num_val=4)
