"""`nlvideo test` as a whole: the same numbers from any number of processes, after a kill, and from its own file."""

import ctypes
import json
import os
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from nlvideo.__main__ import main
from nlvideo.evaluation import progress
from nlvideo.evaluation.multi_view import VideoScores
from nlvideo.evaluation.predictions import read_predictions
from nlvideo.task import VideoClassifier
from tests.distributed import start_nlvideo


@pytest.fixture(scope="module")
def tested(trained, tmp_path_factory):
    """A run whose network has been tested without disturbance, in one process and one thread."""
    folder = tmp_path_factory.mktemp("tested") / "nl"
    shutil.copytree(trained, folder)
    return folder


def arguments(folder: Path) -> list[str]:
    options = ["--data.eval_batch_size=2", "--data.num_clips=2", "--data.num_crops=2", "--data.test_crop_size=48"]
    return ["test", "-c", str(folder / "config.yaml"), f"--ckpt_path={folder / 'last.ckpt'}", *options]


def results(folder: Path) -> dict:
    found = json.loads((folder / "test.json").read_text())
    keys = ("clip", "clip_averaged", "video", "num_scored", "num_videos", "missing", "variants")
    return {key: found.get(key) for key in keys}


def killed_in_the_third_batch() -> None:
    """In the process of a test, which notes its progress after each batch."""
    progress.SECONDS = 0
    step = VideoClassifier.test_step

    def killed(self, videos, number):
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        step(self, videos, number)

    VideoClassifier.test_step = killed


def test_the_predictions_file_holds_the_logged_results(tested, one_thread):
    """Recomputed with numpy alone from the scores of the views."""
    assert main([*arguments(tested), "--model.keep_view_scores=true"]) == 0
    predictions = read_predictions(tested / "predictions.parquet")
    views, labels = predictions.view_scores.astype(np.float64), predictions.labels
    assert views.shape == (8, 4, 4)
    np.testing.assert_allclose(predictions.scores, views.mean(axis=1), atol=1e-6)
    logged = results(tested)
    right = views.mean(axis=1).argmax(axis=1) == labels
    assert logged["video"]["top1"] == pytest.approx(right.mean())
    assert logged["video"]["mean_class"] == pytest.approx(np.mean([right[labels == k].mean() for k in set(labels)]))
    assert logged["clip_averaged"]["top1"] == pytest.approx((views.argmax(axis=2) == labels[:, None]).mean())
    of_label = np.take_along_axis(views, labels[:, None, None], axis=2)
    assert logged["clip_averaged"]["loss"] == pytest.approx(-np.log(of_label).mean(), abs=1e-5)


def test_two_processes_give_the_same_scores_also_of_a_test_that_one_began(tested, one_thread, capsys):
    """With lesions and probes, of which each has its predictions, too."""
    given = [*arguments(tested), "--lesion", "res3.1", "all:own_frame", "--probe", "shuffled", "still"]
    assert main(given) == 0
    files = sorted(tested.glob("predictions*.parquet"))
    assert len(files) == 5
    expected, alone = results(tested), [read_predictions(file) for file in files]
    table = (tested / "variants.csv").read_text()

    def test_together(*more: str) -> None:
        job = start_nlvideo([*given, "--trainer.devices=2", "--trainer.strategy=ddp_fork", *more])
        assert job.wait() == [0], job.output()
        assert results(tested) == expected
        assert (tested / "variants.csv").read_text() == table
        for file, before in zip(files, alone, strict=True):
            together = read_predictions(file)
            assert together.ids == before.ids
            np.testing.assert_array_equal(together.scores, before.scores)

    test_together()
    assert start_nlvideo(given, before=killed_in_the_third_batch).wait() == [-signal.SIGKILL]
    for other in (arguments(tested), [*given, "reversed"], [*given, "--seed_everything=1"]):
        assert main([*other, "--resume"]) == 1
        assert "with other settings (variants)" in capsys.readouterr().err
    test_together("--resume")
    assert not (tested / "test_progress").exists()


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_a_test_computes_in_its_own_dtype_whatever_the_trainings_precision(precision, tested, tmp_path, one_thread):
    elsewhere = [f"--runs_dir={tmp_path}", "--name"]
    assert main([*arguments(tested), *elsewhere, "plain"]) == 0
    assert main([*arguments(tested), *elsewhere, "mixed", f"--trainer.precision={precision}"]) == 0
    plain, mixed = (read_predictions(tmp_path / name / "predictions.parquet").scores for name in ("plain", "mixed"))
    np.testing.assert_array_equal(plain, mixed)


def test_an_automatic_dtype_gives_the_scores_of_the_one_that_it_reports(tested, tmp_path, one_thread, capsys):
    elsewhere = [f"--runs_dir={tmp_path}", "--name"]
    assert main([*arguments(tested), *elsewhere, "auto", "--model.inference_dtype=auto"]) == 0
    chosen = json.loads((tmp_path / "auto" / "test.json").read_text())["dtype"]
    assert f"inference_dtype auto: {chosen}; bfloat16 takes" in capsys.readouterr().out
    assert main([*arguments(tested), *elsewhere, "given", f"--model.inference_dtype={chosen}"]) == 0
    auto, given = (read_predictions(tmp_path / name / "predictions.parquet").scores for name in ("auto", "given"))
    np.testing.assert_array_equal(auto, given)


def test_results_go_where_name_and_runs_dir_say(tested, tmp_path):
    (tmp_path / "nl").mkdir()
    shutil.copy(tested / "last.ckpt", tmp_path / "nl" / "last.ckpt")
    given = ["-c", str(tested / "config.yaml"), f"--ckpt_path={tmp_path / 'nl' / 'last.ckpt'}", "--data.num_clips=1"]
    assert main(["validate", *given]) == 0
    assert (tmp_path / "nl" / "validate.json").is_file()  # beside the checkpoint, though config.yaml names its own run
    assert main(["test", *given, f"--runs_dir={tmp_path}", "--name=elsewhere"]) == 0
    assert {file.name for file in (tmp_path / "elsewhere").iterdir()} == {"test.json", "predictions.parquet"}
    assert {file.name for file in (tmp_path / "nl").iterdir()} == {"last.ckpt", "validate.json"}


def test_videos_are_named_as_the_manifest_does_from_wherever_it_is_named(
    tested, visitors, tmp_path, monkeypatch, run_tool
):
    monkeypatch.chdir(visitors)
    given = ["test", "-c", str(tested / "config.yaml"), f"--ckpt_path={tested / 'last.ckpt'}", "--data.num_clips=1"]
    assert main([*given, f"--data.val={visitors / 'val.csv'}", f"--runs_dir={tmp_path}", "--name=absolute"]) == 0
    assert main([*given, "--data.val=val.csv", f"--runs_dir={tmp_path}", "--name=relative"]) == 0
    files = [tmp_path / name / "predictions.parquet" for name in ("absolute", "relative")]
    written = [line.partition(",")[0] for line in (visitors / "val.csv").read_text().splitlines()[1:]]
    assert [read_predictions(file).ids for file in files] == [written, written]
    assert "on the 8 videos of both" in run_tool("score.py", *files)


def give_up_privileges() -> None:
    """Root, too, may then write only where permissions say so."""
    version_3 = (ctypes.c_uint32 * 2)(0x20080522, 0)
    assert ctypes.CDLL(None).capset(version_3, (ctypes.c_uint32 * 6)()) == 0


def test_a_folder_that_cannot_be_written_is_an_error_before_anything_is_scored(tested, tmp_path):
    folder = tmp_path / "read_only"
    folder.mkdir()
    shutil.copy(tested / "last.ckpt", folder / "last.ckpt")
    folder.chmod(0o555)
    given = ["test", "-c", str(tested / "config.yaml"), f"--ckpt_path={folder / 'last.ckpt'}", "--data.val=gone.csv"]
    refused = start_nlvideo(given, before=give_up_privileges)
    assert refused.wait() == [1]
    line = f"{folder}: results can't be written there (Permission denied); choose another folder with --name"
    assert line in refused.output()

    given = [*given[:-1], "--data.num_clips=1", f"--runs_dir={tmp_path}", "--name=writable"]
    job = start_nlvideo(given, before=give_up_privileges)
    assert job.wait() == [0], job.output()
    assert (tmp_path / "writable" / "test.json").is_file()


@contextmanager
def replaced_by_another(checkpoint: Path):
    """The same file with other weights, which another training may leave under the same name."""
    kept = checkpoint.with_suffix(".kept")
    checkpoint.rename(kept)
    content = torch.load(kept, weights_only=True)
    content["state_dict"] = {name: -weight for name, weight in content["state_dict"].items()}
    torch.save(content, checkpoint)
    yield
    kept.rename(checkpoint)


def test_a_killed_test_goes_on_and_ends_with_the_same_numbers(tested, one_thread, monkeypatch, capsys):
    assert main(arguments(tested)) == 0
    expected, undisturbed = results(tested), read_predictions(tested / "predictions.parquet")
    for name in ("test.json", "predictions.parquet"):
        (tested / name).unlink()

    assert start_nlvideo(arguments(tested), before=killed_in_the_third_batch).wait() == [-signal.SIGKILL]
    assert not (tested / "test.json").exists()

    assert main([*arguments(tested), "--resume", "--data.num_clips=3"]) == 1
    assert "with other settings (views)" in capsys.readouterr().err
    with replaced_by_another(tested / "last.ckpt"):
        assert main([*arguments(tested), "--resume"]) == 1
    assert "with other settings (checkpoint)" in capsys.readouterr().err

    scored = []
    add = VideoScores.add
    monkeypatch.setattr(
        VideoScores, "add", lambda self, video, *rest: scored.append(video.index) or add(self, video, *rest)
    )
    assert main([*arguments(tested), "--resume"]) == 0
    assert scored == [4, 5, 6, 7]
    assert "4 of 8 videos were scored before" in capsys.readouterr().out
    assert results(tested) == expected
    np.testing.assert_array_equal(read_predictions(tested / "predictions.parquet").scores, undisturbed.scores)

    assert main([*arguments(tested), "--resume"]) == 1
    assert "no test was stopped here; leave out --resume" in capsys.readouterr().err


def test_resume_is_for_tests(tested, capsys):
    validate = ["validate", *arguments(tested)[1:4], "--resume"]
    assert main(validate) == 1
    assert "--resume is for test" in capsys.readouterr().err
