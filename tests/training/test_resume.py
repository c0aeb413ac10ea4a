"""A run that was stopped anywhere and started again ends with the weights of one that was not, bit by bit."""

import os
import signal
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from nlvideo.__main__ import main
from nlvideo.task import VideoClassifier
from nlvideo.training import run_folder as run_module
from tests.distributed import Job, start_nlvideo

# Two epochs of four steps, a checkpoint after each, and everything that draws: crops, flips, mixup, dropout.
RUN = ["--data.batch_size=6", "--model.net.dropout=0.5", "--data.augment.mixup=0.4", "--trainer.max_epochs=2"]
RUN += ["--checkpoint_minutes=0", "--trainer.check_val_every_n_epoch=1"]
SMALLER = ["--model.net.depth=[1, 1, 1, 1]", "--model.net.after.at=none"]


def without_table() -> None:
    """Counting what the network costs takes longer than these runs, and drawing their curves as long."""
    run_module.stage_table = lambda spec: "costs"
    run_module.plot_curves = lambda metrics, curves: None


def signal_at(step: int, signum: int, hook: str = "training_step") -> None:
    """In the process of a run: the first rank gets a signal in its `step`-th step, counted from 0."""
    without_table()
    original = getattr(VideoClassifier, hook)

    def signalled(self, *args):
        if self.trainer.global_step == step and self.trainer.is_global_zero and not self.trainer.sanity_checking:
            os.kill(os.getpid(), signum)
        return original(self, *args)

    setattr(VideoClassifier, hook, signalled)


def fit(folder: Path, arguments: list[str], before=without_table, num_ranks: int = 1) -> Job:
    arguments = ["fit", *arguments, f"--data.batch_size={6 // num_ranks}", f"--runs_dir={folder}", "--name=run"]
    return start_nlvideo(arguments, before=before, num_ranks=num_ranks)


def assert_same_outcome(run: Path, undisturbed: Path) -> None:
    (mine, my_metrics), (other, other_metrics) = (
        (torch.load(folder / "last.ckpt", weights_only=True), pd.read_csv(folder / "metrics.csv"))
        for folder in (run, undisturbed)
    )
    for checkpoint in (mine, other):
        for group in checkpoint["optimizer_states"][0]["param_groups"]:
            del group["name"]  # assert_close compares numbers only
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
        torch.testing.assert_close(mine[part], other[part], rtol=0, atol=0)
    columns = sorted(name for name in other_metrics if not name.startswith("speed/"))
    pd.testing.assert_frame_equal(my_metrics[columns], other_metrics[columns])
    assert (run / "fit.json").exists()


@pytest.fixture(scope="module")
def arguments(tiny) -> list[str]:
    return [*tiny, *SMALLER, *RUN]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, arguments) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    job = fit(folder, arguments)
    assert job.wait() == [0], job.output()
    return folder / "run"


@pytest.fixture(scope="module")
def cut(tmp_path_factory, arguments) -> Path:
    """A run that ends after 7 steps, in mid-epoch."""
    folder = tmp_path_factory.mktemp("cut")
    job = fit(folder, [*arguments, "--trainer.max_steps=7"])
    assert job.wait() == [0], job.output()
    return folder / "run"


INT, TERM, USR1, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL

# One after the other: in which step, by what, where, and from how many steps the run then goes on.
STOPS = [
    (2, INT, "training_step", 3),  # in an epoch: after the step
    (4, KILL, "validation_step", 3),  # in a validation: from the step before it
    (6, KILL, "training_step", 6),  # in an epoch: from the last checkpoint
]
STOPS_IN_STEPS = [
    (3, USR1, "training_step", 3),  # in the last step of an epoch: the validation that follows stops
    (4, TERM, "training_step", 5),
    (7, KILL, "validation_step", 6),  # in the validation of the final weights
]


@pytest.mark.parametrize(
    ("stops", "extra", "whole"),
    [(STOPS, [], "undisturbed"), (STOPS_IN_STEPS, ["--trainer.max_steps=7"], "cut")],
    ids=["epochs", "steps"],
)
def test_the_same_command_goes_on_as_if_nothing_had_happened(stops, extra, whole, arguments, tmp_path, request):
    command, goes_on_from = [*arguments, *extra], None
    workers = ["--data.num_workers=1"]  # how many there are changes nothing
    for step, signum, hook, after in [*stops, (99, 0, "training_step", None)]:
        job = fit(tmp_path, [*command, *workers], before=partial(signal_at, step, signum, hook))
        assert job.wait() == [{KILL: -9, 0: 0}.get(signum, 128 + signum)], job.output()
        assert (goes_on_from is None) == ("goes on from last.ckpt" not in job.output())
        assert goes_on_from is None or f"stopped after {goes_on_from} steps: goes on" in job.output()
        assert (tmp_path / "run" / "fit.json").exists() == (not signum)
        goes_on_from, workers = after, []
    assert_same_outcome(tmp_path / "run", request.getfixturevalue(whole))


def test_two_processes_go_on_too_where_one_of_them_was_told_to_stop(arguments, tmp_path):
    two = [*arguments, "--trainer.limit_val_batches=0"]
    whole = fit(tmp_path / "whole", two, num_ranks=2)
    stopped = fit(tmp_path, two, before=partial(signal_at, 5, TERM), num_ranks=2)
    assert whole.wait() == [0, 0], whole.output()
    assert stopped.wait() == [143, 0], stopped.output()
    again = fit(tmp_path, two, num_ranks=2)
    assert again.wait() == [0, 0], again.output()
    assert_same_outcome(tmp_path / "run", tmp_path / "whole" / "run")


def test_a_finished_run_says_so_and_another_configuration_is_refused(arguments, undisturbed, capsys):
    here = ["fit", *arguments, f"--runs_dir={undisturbed.parent}", "--name=run"]
    before = (undisturbed / "last.ckpt").stat().st_mtime_ns
    assert main([*here, "--data.num_workers=1"]) == 0
    assert "is finished" in capsys.readouterr().err
    assert main([*here, "--model.optimizer.lr=0.5", "--data.flip=false"]) == 1
    shown = capsys.readouterr().err
    for words in (
        "model.optimizer.lr is 0.003 there and 0.5 here",
        "data.flip is True there and False here",
        "--overwrite true",
        "--name",
    ):
        assert words in shown
    assert len(shown.strip().splitlines()) == 1
    assert main([*here, "--trainer.max_epochs=1"]) == 1
    assert "trainer.max_epochs is lower" in capsys.readouterr().err
    assert (undisturbed / "last.ckpt").stat().st_mtime_ns == before


def without_service() -> None:
    without_table()
    os.environ["WANDB_MODE"] = "disabled"


def test_a_wandb_run_keeps_its_id(arguments, tmp_path):
    command = [*arguments, "--trainer.limit_val_batches=0", "--trainer.logger=WandbLogger"]
    ids = []
    for num_steps in (1, 2):
        job = fit(tmp_path, [*command, f"--trainer.max_steps={num_steps}"], before=without_service)
        assert job.wait() == [0], job.output()
        config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
        ids.append(config["trainer"]["logger"]["init_args"]["id"])
    assert len(ids[0]) == 8 and ids[0] == ids[1]
