"""The predictions file, whole and damaged, and statistics against counts by hand."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlvideo.evaluation import statistics
from nlvideo.evaluation.predictions import Predictions, read_predictions, write_predictions


def random_predictions(seed: int, num_videos: int = 50, num_classes: int = 6, missing=("gone",)) -> Predictions:
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(num_classes), num_videos).astype(np.float32)
    labels = np.arange(num_videos) % num_classes
    names = [f"class {i}" for i in range(num_classes)]
    return Predictions([f"v{i}" for i in range(num_videos)], labels, scores, names, list(missing))


@pytest.mark.parametrize("with_views", [False, True])
def test_a_file_comes_back_as_it_was(tmp_path, with_views):
    written = random_predictions(0)
    views = np.random.default_rng(1).random((50, 3, 6)).astype(np.float32) if with_views else None
    written = Predictions(**{**written.__dict__, "view_scores": views})
    write_predictions(tmp_path / "predictions.parquet", written)
    read = read_predictions(tmp_path / "predictions.parquet")
    assert (read.ids, read.class_names, read.missing) == (written.ids, written.class_names, ["gone"])
    np.testing.assert_array_equal(read.labels, written.labels)
    np.testing.assert_array_equal(read.scores, written.scores)
    np.testing.assert_equal(read.view_scores, views)
    assert read.counted() == "50 of 51 videos"
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.parquet"]


def test_foreign_files_say_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="nlvideo test"):
        read_predictions(tmp_path / "gone.parquet")
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(ValueError, match="not a parquet file"):
        read_predictions(tmp_path / "text.parquet")


DAMAGED = {
    "no scores": (lambda t: t.drop_columns("scores"), "no column 'scores'"),
    "no label": (lambda t: t.drop_columns("label"), "no column 'label'"),
    "label 9 of 6": (lambda t: with_column(t, "label", [9] * 3), r"label 9; expected 0 to 5"),
    "label -1": (lambda t: with_column(t, "label", [-1] * 3), r"label -1; expected 0 to 5"),
    "an empty label": (lambda t: with_column(t, "label", [0, None, 1]), "column 'label' .* 1 cells empty"),
    "labels in words": (lambda t: with_column(t, "label", ["a"] * 3), "column 'label' is string"),
    "five scores": (
        lambda table: with_column(table, "scores", fixed([[0.2] * 5] * 3)),
        r"'scores' is .*\[5\].*; expected .*\[6\]",
    ),
    "ragged scores": (
        lambda table: with_column(table, "scores", [[0.5], [0.2, 0.1], [0.4]]),
        "column 'scores' is list",
    ),
    "NaN": (lambda t: with_column(t, "scores", fixed([[math.nan] * 6] * 3)), "not finite"),
    "view scores": (
        lambda table: table.append_column("view_scores", fixed([[0.1] * 8] * 3)),
        "column 'view_scores' is",
    ),
    "no metadata": (lambda t: t.replace_schema_metadata(None), "metadata 'nlvideo' has no list"),
    "no JSON": (lambda t: t.replace_schema_metadata({"nlvideo": "{"}), "Expecting property name"),
    "a list": (lambda t: t.replace_schema_metadata({"nlvideo": "[1]"}), "no list of names 'class_names'"),
    "no missing": (lambda t: with_metadata(t, class_names=["a"]), "no list of names 'missing'"),
    "numbers for names": (lambda t: with_metadata(t, class_names=[1], missing=[]), "no list of names"),
    "no classes": (lambda t: with_metadata(t, class_names=[], missing=[]), "0 classes and 3 videos"),
    "no videos": (lambda t: t.slice(0, 0), "6 classes and 0 videos"),
}


def fixed(rows: list[list[float]]) -> pa.Array:
    return pa.array(rows, pa.list_(pa.float32(), len(rows[0])))


def with_column(table: pa.Table, name: str, values) -> pa.Table:
    column = values if isinstance(values, pa.Array) else pa.array(values)
    return table.set_column(table.column_names.index(name), name, column)


def with_metadata(table: pa.Table, **about) -> pa.Table:
    return table.replace_schema_metadata({"nlvideo": json.dumps(about)})


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_a_line_that_names_it(name, tmp_path):
    damage, words = DAMAGED[name]
    path = tmp_path / "predictions.parquet"
    write_predictions(path, random_predictions(0, num_videos=3))
    pq.write_table(damage(pq.read_table(path)), path)
    with pytest.raises(ValueError, match=words) as error:
        read_predictions(path)
    assert str(error.value).startswith(f"predictions {path}: ")
    assert "\n" not in str(error.value)


def test_a_file_cut_short_is_no_parquet_file(tmp_path):
    path = tmp_path / "predictions.parquet"
    write_predictions(path, random_predictions(0))
    content = path.read_bytes()
    path.write_bytes(content[:200] + b"\xff" * 400 + content[600:])  # damaged pages, whole footer
    with pytest.raises(ValueError, match="not a parquet file"):
        read_predictions(path)


def test_confusion_and_pairs_by_counting():
    given = random_predictions(2)
    confusion = statistics.confusion_matrix(given.scores, given.labels)
    guesses = given.scores.argmax(axis=1)
    for label in range(6):
        for guess in range(6):
            assert confusion[label, guess] == sum((given.labels == label) & (guesses == guess))
    pairs = statistics.confused_pairs(confusion, 3)
    assert [videos for _, _, videos in pairs] == sorted((n for _, _, n in pairs), reverse=True)
    assert all(label != guess for label, guess, _ in pairs)
    assert pairs[0][2] == max(confusion[i, j] for i in range(6) for j in range(6) if i != j)


def test_calibration_of_known_cases():
    sure = np.array([[1.0, 0.0]] * 10)
    assert statistics.expected_calibration_error(sure, np.zeros(10, int)) == pytest.approx(0.0)
    assert statistics.expected_calibration_error(sure, np.ones(10, int)) == pytest.approx(1.0)
    hesitant = np.array([[0.6, 0.4]] * 10)
    labels = np.array([0] * 5 + [1] * 5)  # right half the time, 0.6 sure
    assert statistics.expected_calibration_error(hesitant, labels) == pytest.approx(0.1)


def test_bootstrap_covers_the_normal_interval():
    right = np.arange(400) % 4 != 0  # 75 %
    low, high = statistics.bootstrap_interval(right)
    half = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert (low, high) == pytest.approx((0.75 - half, 0.75 + half), abs=0.006)


def test_mcnemar_of_a_hand_count():
    a = np.array([1] * 10 + [1] * 8 + [0] * 2 + [0] * 5, bool)
    b = np.array([1] * 10 + [0] * 8 + [1] * 2 + [0] * 5, bool)
    only_a, only_b, p = statistics.mcnemar(a, b)
    assert (only_a, only_b) == (8, 2)
    assert p == pytest.approx(2 * (1 + 10 + 45) / 1024)  # two tails of ten coins, two heads or fewer
    assert statistics.mcnemar(a, a)[2] == 1.0


def test_fusion_over_the_common_videos():
    one, two = random_predictions(3), random_predictions(4)
    shuffled = np.random.default_rng(5).permutation(50)[:40]
    two = Predictions(
        [two.ids[i] for i in shuffled], two.labels[shuffled], two.scores[shuffled], two.class_names, ["gone"]
    )
    fused = statistics.fuse([one, two], [1.0, 3.0])
    assert fused.num_videos == 51
    assert len(fused.ids) == 40
    i = fused.ids.index(two.ids[7])
    expected = (one.scores[shuffled[7]] + 3 * two.scores[7]) / 4
    np.testing.assert_allclose(fused.scores[i], expected, rtol=1e-6)


def test_files_that_do_not_belong_together():
    one = random_predictions(6)
    relabelled = Predictions(one.ids, (one.labels + 1) % 6, one.scores, one.class_names)
    with pytest.raises(ValueError, match="different labels"):
        statistics.align([one, relabelled])
    with pytest.raises(ValueError, match="different classes"):
        statistics.align([one, random_predictions(6, num_classes=5)])
    with pytest.raises(ValueError, match="no video in common, such as 'v0' and 'x'"):
        statistics.align([one, Predictions(["x"], one.labels[:1], one.scores[:1], one.class_names)])
    for weights in ([1.0], [1.0, math.nan], [1.0, math.inf], [1.0, -1.0], [0.0, 0.0]):
        with pytest.raises(ValueError, match=r"weights .*: expected 2 finite numbers"):
            statistics.fuse([one, one], weights)


def test_metadata_is_readable_json(tmp_path):
    write_predictions(tmp_path / "p.parquet", random_predictions(7))
    assert json.loads(pq.read_schema(tmp_path / "p.parquet").metadata[b"nlvideo"])["missing"] == ["gone"]
