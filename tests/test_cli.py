"""The command line, as a user meets it: real runs on real videos, and every kind of bad input."""

import hashlib
import importlib
import json
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import nlvideo
from nlvideo.__main__ import COMMANDS, main
from nlvideo.configuration import configuration
from nlvideo.data import sampling
from nlvideo.data.manifest import read_manifest
from nlvideo.data.video import Video
from nlvideo.evaluation.predictions import read_predictions
from nlvideo.parser import to_yaml
from nlvideo.training.trainer import check_devices

ROOT = Path(__file__).parents[1]


def test_help_needs_no_torch():
    code = "import sys; from nlvideo.__main__ import main; main(['--help']); sys.exit('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for command in COMMANDS:
        assert f"  nlvideo {command}" in answer.stdout


@pytest.mark.parametrize("command", COMMANDS.values())
def test_a_command_has_a_main(command):
    assert callable(importlib.import_module(command.module).main)


def test_a_run_leaves_its_files_and_a_resume_goes_on(trained, visitors):
    names = {file.name for file in trained.iterdir()}
    assert {"config.yaml", "metrics.csv", "curves.png", "last.ckpt", "best.ckpt", "fit.json"} <= names
    metrics = pd.read_csv(trained / "metrics.csv")
    epochs = metrics.dropna(subset="train/loss_epoch")
    assert epochs["epoch"].tolist() == [0, 1]  # the first epoch's rows outlived the resume
    assert epochs["step"].tolist() == [2, 5]
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["model"]["net"]["init_args"]["width"] == 4
    checkpoint = torch.load(trained / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 6
    assert checkpoint["nlvideo"]["run_config"] == config
    fit = json.loads((trained / "fit.json").read_text())
    assert fit["versions"]["torch"] == version("torch")
    assert 0.1 < fit["peak_GB"] < 100
    assert (fit["processes"], fit["data"]["train"]["videos"], fit["data"]["val"]["videos"]) == (1, 24, 8)
    lines = sorted(f"{path}\t{label}\n" for path, label in pd.read_csv(visitors / "val.csv")[["path", "label"]].values)
    assert fit["data"]["val"]["sha256"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert fit["data"]["val"]["folder"] == str(visitors)


def test_training_in_mixed_precision_lowers_the_loss(tiny, tmp_path):
    arguments = [
        "--trainer.max_epochs=5",
        "--trainer.precision=bf16-mixed",
        "--data.flip=false",
        "--data.crop_padding=0",
    ]
    assert main(["fit", *tiny, f"--runs_dir={tmp_path}", "--name=longer", *arguments]) == 0
    losses = pd.read_csv(tmp_path / "longer" / "metrics.csv")["train/loss_epoch"].dropna()
    assert losses.iloc[-1] < losses.iloc[0] - 0.05


def test_video_level_equals_numpy(trained, visitors):
    """`nlvideo test` against views cut, scored and averaged one by one."""
    assert main(["test", "-c", str(trained / "config.yaml"), f"--ckpt_path={trained / 'last.ckpt'}"]) == 0
    result = json.loads((trained / "test.json").read_text())
    predictions = read_predictions(trained / "predictions.parquet")

    net = nlvideo.load(trained / "last.ckpt")
    samples = read_manifest(visitors / "val.csv", 4)
    clip_scores, video_scores = [], []
    for path, _, _ in samples:
        frames = Video(path).frames(np.arange(64)).numpy()  # (64, 3, 64, 64)
        views = []
        for start in (sampling.centre_start(57, 64), 0, 4, 7):  # centre; then round(7 * i / 2)
            clip = frames[start : start + 57 : 8].transpose(1, 0, 2, 3)  # (3, 8, 64, 64)
            with torch.no_grad():
                logits = net((torch.from_numpy(clip)[None] / 255 - 0.45) / 0.225)[0].double().numpy()
            views.append(np.exp(logits) / np.exp(logits).sum())
        clip_scores.append(views[0])
        video_scores.append(np.mean(views[1:], axis=0))
    labels = np.array([sample.label for sample in samples])

    np.testing.assert_allclose(predictions.scores, video_scores, atol=1e-5)
    assert predictions.labels.tolist() == labels.tolist()
    for level, scores in (("clip", clip_scores), ("video", video_scores)):
        assert result[level]["top1"] == pytest.approx(np.mean(np.argmax(scores, axis=1) == labels))
        expected = -np.log(np.array(scores)[np.arange(len(labels)), labels]).mean()
        assert result[level]["loss"] == pytest.approx(expected, abs=1e-5)
    assert (result["num_scored"], result["num_videos"]) == (8, 8)


def test_validate_is_the_clip_level_of_test_and_each_ends_with_the_next_command(trained, capsys):
    checkpoint = ["-c", str(trained / "config.yaml"), "--ckpt_path", str(trained / "last.ckpt")]
    assert main(["validate", *checkpoint]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"next: {shlex.join(['nlvideo', 'test', *checkpoint])}"
    assert main(["test", *checkpoint]) == 0
    following = ["nlvideo", "attention-stats", *checkpoint, "-o", str(trained / "stats")]
    assert capsys.readouterr().out.splitlines()[-1] == f"next: {shlex.join(following)}"
    validated, tested = (json.loads((trained / f"{stage}.json").read_text()) for stage in ("validate", "test"))
    assert validated["clip"] == pytest.approx(tested["clip"])


def test_unreadable_videos_are_counted_as_missing(trained, visitors, tmp_path, capfd, caplog):
    manifest = tmp_path / "val.csv"
    rows = pd.read_csv(visitors / "val.csv")
    rows["path"] = [str(visitors / path) for path in rows["path"]]
    (tmp_path / "corrupt.mp4").write_bytes(b"not a video" * 100)
    rows.loc[1, "path"] = str(tmp_path / "corrupt.mp4")
    rows.loc[6, "path"] = str(tmp_path / "gone.mp4")
    rows.to_csv(manifest, index=False)

    arguments = ["-c", str(trained / "config.yaml"), f"--ckpt_path={trained / 'last.ckpt'}", f"--data.val={manifest}"]
    assert main(["test", *arguments, "--data.eval_batch_size=1"]) == 0

    result = json.loads((trained / "test.json").read_text())
    assert (result["num_scored"], result["num_videos"]) == (6, 8)
    assert result["missing"] == [str(tmp_path / "corrupt.mp4"), str(tmp_path / "gone.mp4")]
    assert "6 of 8" in capfd.readouterr().out
    assert "corrupt.mp4" in caplog.text


def test_predict_gives_the_scores_of_the_test(trained, visitors, capsys):
    assert main(["test", "-c", str(trained / "config.yaml"), f"--ckpt_path={trained / 'last.ckpt'}"]) == 0
    capsys.readouterr()
    predictions = read_predictions(trained / "predictions.parquet")
    expected = dict(zip(predictions.class_names, predictions.scores[0], strict=True))
    options = ["--ckpt_path", str(trained / "last.ckpt"), "--json", "--num_clips", "3", "--num_crops", "1"]
    assert main(["predict", str(visitors / predictions.ids[0]), *options]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert len(result["classes"]) == 4  # fewer than five
    for row in result["classes"]:
        assert row["score"] == pytest.approx(expected[row["class"]], abs=1e-5)


BAD_INPUT = {
    "unknown key": (["--model.net.widht=8"], 2, "widht"),
    "unknown block argument": (["--model.net.after.block.pairwize=gaussian"], 2, "pairwize"),
    "unknown pairwise": (["--model.net.after.block.pairwise=cosine"], 2, "embedded_gaussian"),
    "unknown preset": (["--model.net.after.at=nl7"], 1, "none, nl1, nl5, nl10, all"),
    "unknown stage": (["--model.net.after.at={res6: 1}"], 1, "res2, res3, res4, res5"),
    "index outside": (["--model.net.after.at={res4: [4]}"], 1, "0 to 1"),
    "missing manifest": (["--data.train=gone.csv"], 1, "gone.csv: no such file"),
    "label out of range": (["--data.num_classes=3"], 1, "expected a whole number from 0 to 2"),
    "batch too large": (["--data.batch_size=999"], 1, "batch_size"),
    "setting without effect": (["--model.schedule.milestones=[3]"], 1, "milestones belong to schedule 'steps'"),
    "sharded strategy": (["--trainer.strategy=deepspeed"], 1, "trainer.strategy deepspeed: not supported; use ddp"),
    "overfitting": (["--trainer.overfit_batches=2"], 1, "trainer.overfit_batches 2: not supported; to see whether"),
    "no checkpoints": (["--trainer.enable_checkpointing=false"], 1, "a run always has its metrics and checkpoints"),
    "no seed": (["--seed_everything=true"], 2, "seed_everything: expected a whole number"),
    "no such checkpoint": (["--ckpt_path=gone.ckpt"], 1, "gone.ckpt: no such file"),
    "no epochs": (["--trainer.max_epochs=0"], 1, "trainer.max_epochs: expected at least 1, or -1 for no limit, got 0"),
    "no steps": (["--trainer.max_steps=0"], 1, "trainer.max_steps: expected at least 1"),
    "a name outside of runs_dir": (["--name=../x"], 1, "--name '../x': expected the name of a folder within runs_dir"),
    "an absolute name": (["--name=/tmp/x"], 1, "--name '/tmp/x': expected the name of a folder"),
    "an empty name": (["--name="], 1, "--name '': expected the name of a folder"),
    "misspelt option": (
        ["--model.optimiser.lr=1"],
        2,
        "no option --model.optimiser.lr; did you mean --model.optimizer.lr?",
    ),
    "misspelt option of the network": (["--model.net.widht=8"], 2, "did you mean width?"),
    "misspelt network": (["--model.net=ResNet4d"], 2, "a class's import path; did you mean ResNet3d?"),
    "misspelt block": (["--model.net.after.block=NonLocl"], 2, "did you mean NonLocal?"),
    "misspelt logger": (["--trainer.logger=WandbLoger"], 2, "did you mean WandbLogger?"),
    "logger without a folder": (["--trainer.logger=CSVLogger"], 2, "without a default: save_dir; arguments of a class"),
    "misspelt callback": (["--trainer.callbacks+=EarlyStoping"], 2, "did you mean EarlyStopping?"),
    "misspelt precision": (["--trainer.precision=bf17"], 2, "64-true, bf16, got bf17; did you mean bf16?"),
    "misspelt choice": (["--data.decoder=decod"], 2, "torchcodec_cuda, got decod; did you mean decord?"),
    "no space in YAML": (["--model.net.after.at={res4:[1]}"], 1, "a space after each colon, as in '{res4: [1]}'"),
    "unquoted braces": (["--model.net.after.at", "{res4:", "[1]}"], 2, "put quotes around a value with spaces"),
    "no number of classes": (["--data.num_classes=null"], 2, "data.num_classes: not given; start from a recipe"),
    "a word for a number": (["--data.num_classes=four"], 2, "data.num_classes: expected int, got four"),
    "no such recipe": (["-c", f"{ROOT}/configs/dmo.yaml"], 2, "no such file or recipe; did you mean demo.yaml?"),
    "a folder for a recipe": (["-c", f"{ROOT}/configs"], 2, "is a folder; expected a YAML file such as "),
    "a folder for a checkpoint": (["--ckpt_path=/"], 1, "checkpoint /: is a folder; expected a file"),
    "no such weights": (["--model.init_from=gone.ckpt"], 1, "gone.ckpt: no such file"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_a_line_that_names_the_thing(name, tiny, tmp_path, capsys):
    given, status, words = BAD_INPUT[name]
    try:
        returned = main(["fit", *tiny, f"--runs_dir={tmp_path}", "--trainer.max_epochs=1", *given])
    except SystemExit as stop:  # argparse's way out
        returned = stop.code
    shown = capsys.readouterr().err
    assert returned == status
    assert words in shown
    assert "Traceback" not in shown
    assert len(shown.strip().splitlines()) <= 2


def test_a_dry_run_keeps_nothing_and_a_profile_is_printed(tiny, tmp_path):
    command = [sys.executable, "-m", "nlvideo", "fit", *tiny, f"--runs_dir={tmp_path}", "--name=dry"]
    options = ["--trainer.fast_dev_run=true", "--trainer.profiler=simple"]
    shown = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    assert "next:" not in shown.stdout
    assert not list(tmp_path.rglob("*.ckpt"))
    assert "FIT Profiler Report" in shown.stdout + shown.stderr


def test_unknown_yaml_key(tiny, tmp_path, capsys):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("model: {net: {init_args: {deepth: 50}}}")
    with pytest.raises(SystemExit) as stop:
        main(["fit", *tiny, "-c", str(wrong)])
    assert stop.value.code == 2
    assert "deepth" in capsys.readouterr().err


def test_corrupt_training_video_names_the_file(tiny, visitors, tmp_path, capsys):
    (tmp_path / "bad.mp4").write_bytes(b"\x00" * 5000)
    manifest = tmp_path / "train.csv"
    manifest.write_text("path,label\n" + f"{tmp_path / 'bad.mp4'},0\n" * 8)
    arguments = ["fit", *tiny, f"--data.train={manifest}", "--data.num_workers=1", f"--runs_dir={tmp_path}"]
    assert main([*arguments, "--trainer.max_epochs=1"]) == 1
    shown = capsys.readouterr().err.strip().splitlines()[-1]
    assert "bad.mp4" in shown


def test_checkpoint_of_another_architecture(trained, tiny, capsys):
    arguments = ["test", *tiny, f"--ckpt_path={trained / 'last.ckpt'}", "--model.net.arch=i3d"]
    assert main(arguments) == 1
    shown = capsys.readouterr().err.strip().splitlines()[-1]
    assert "net.arch is c2d there and i3d here" in shown
    assert "--model.init_from" in shown


def test_evaluation_needs_weights(tiny, capsys):
    assert main(["test", *tiny, "--name=nl"]) == 1
    shown = capsys.readouterr().err
    assert "expected --ckpt_path runs/nl/last.ckpt; --name only says where results go" in shown


@pytest.mark.skipif(
    torch.cuda.is_available() or torch.backends.mps.is_available(), reason="needs a machine without GPU"
)
def test_a_gpu_that_is_not_there(tiny, tmp_path, capsys):
    assert main(["fit", *tiny, f"--runs_dir={tmp_path}", "--trainer.accelerator=gpu"]) == 1
    assert "trainer.accelerator gpu: PyTorch" in capsys.readouterr().err


def test_more_processes_than_cores_are_a_warning():
    with pytest.warns(UserWarning, match=r"trainer.devices 9999: more processes than the \d+ cores"):
        check_devices({"accelerator": "cpu", "devices": 9999})


def test_warnings_carry_no_source():
    code = "import warnings; from nlvideo.quiet import hush_libraries; hush_libraries(); warnings.warn('hot')"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stderr == "warning: hot\n"


def test_overwriting_leaves_nothing_of_the_earlier_run(tiny, tmp_path):
    base = ["fit", *tiny, f"--runs_dir={tmp_path}", "--name=again", "--trainer.max_epochs=1"]
    assert main([*base, "--model.net.arch=i3d"]) == 0
    (tmp_path / "again" / "test.json").write_text("{}")
    (tmp_path / "again" / "mine.ckpt").write_text("of somebody")
    assert main([*base, "--overwrite=true"]) == 0
    assert not (tmp_path / "again" / "test.json").exists()
    assert (tmp_path / "again" / "mine.ckpt").exists()
    assert nlvideo.load(tmp_path / "again" / "last.ckpt").config()["init_args"]["arch"] == "c2d"


def test_unknown_command(capsys):
    assert main(["tset"]) == 2
    shown = capsys.readouterr().err
    assert "expected fit, validate, test, predict, ablate, report, attend" in shown
    assert "did you mean test?" in shown


def test_a_logger_that_does_not_start_is_left_out(tiny, tmp_path, capsys):
    """What a W&B client without network does, in small."""
    config = tmp_path / "logger.yaml"
    logger = {"class_path": "tests_failing_logger.FailingLogger", "init_args": {}}
    config.write_text(yaml.safe_dump({"trainer": {"logger": logger}}))
    (tmp_path / "tests_failing_logger.py").write_text(
        "from lightning.pytorch.loggers import CSVLogger\n"
        "class FailingLogger(CSVLogger):\n"
        "    def __init__(self):\n"
        "        super().__init__('unused')\n"
        "    @property\n"
        "    def experiment(self):\n"
        "        raise ConnectionError('no network')\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.warns(UserWarning, match="FailingLogger does not start .* no network"):
            status = main(["fit", *tiny, "-c", str(config), f"--runs_dir={tmp_path}", "--trainer.max_epochs=1"])
    finally:
        sys.path.remove(str(tmp_path))
    assert status == 0


def test_wandb_runs_offline_in_the_runs_folder(tiny, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # nobody is logged in there
    arguments = ["--trainer.logger=WandbLogger", f"--runs_dir={tmp_path}", "--name=logged", "--trainer.max_epochs=1"]
    assert main(["fit", *tiny, *arguments]) == 0
    assert list((tmp_path / "logged" / "wandb").glob("offline-run-*"))


def test_names_that_look_like_numbers_stay_names(tmp_path):
    arguments = ["--name=1e-3", "--trainer.logger=WandbLogger", "--trainer.logger.id=12345e67"]
    config = configuration(["-c", str(ROOT / "configs" / "demo.yaml"), *arguments])
    assert (config["name"], config["trainer"]["logger"]["init_args"]["id"]) == ("1e-3", "12345e67")
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert configuration(["-c", str(tmp_path / "config.yaml")]) == config


def test_a_limit_of_1_is_one_batch_and_1_0_is_all():
    # In a process of its own: once rich has made Union[float, int], typing gives it for Lightning's Union[int, float].
    limits = {"limit_train_batches": "1", "limit_val_batches": "1", "limit_test_batches": "1.0"}
    options = ["fit", "-c", "demo", *(f"--trainer.{name}={given}" for name, given in limits.items()), "--print_config"]
    shown = subprocess.run([sys.executable, "-m", "nlvideo", *options], capture_output=True, text=True, check=True)
    for name, given in limits.items():
        assert f"  {name}: {given}\n" in shown.stdout


def test_an_interrupt_outside_of_a_training_is_a_line(monkeypatch, capsys):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("nlvideo.predict_cli.main", interrupt)
    assert main(["predict"]) == 130
    assert capsys.readouterr().err == "nlvideo: interrupted\n"
