"""A training that ends if it falls behind another one."""

import json
from types import SimpleNamespace

import pytest
import torch

from nlvideo.training.stop_if_behind import StopIfBehind, read_scores

HEADER = "epoch,step,train/loss_epoch,val/clip_top1\n"


@pytest.fixture
def validate(tmp_path):
    """validate(callback, epochs, top1): whether the training goes on after that validation, of five epochs."""

    def run(callback, epochs: int, top1: float) -> bool:
        trainer = SimpleNamespace(
            current_epoch=epochs - 1,
            max_epochs=5,
            sanity_checking=False,
            is_global_zero=True,
            callback_metrics={"val/clip_top1": torch.tensor(top1)},
            strategy=SimpleNamespace(broadcast=lambda value: value),
            default_root_dir=str(tmp_path),
            should_stop=False,
        )
        callback.on_validation_end(trainer, None)
        return not trainer.should_stop

    return run


def test_it_stops_below_the_reference_at_the_same_epoch(validate, tmp_path):
    reference = tmp_path / "baseline.csv"
    reference.write_text(HEADER + "0,9,1.3,\n0,9,,0.9\n1,19,,0.5\n2,29,,0.6\n")
    callback = StopIfBehind(str(reference), after_epochs=2, below=10.0)
    assert validate(callback, 1, 0.1)  # too early
    assert validate(callback, 2, 0.41)  # 9 points below
    assert not (tmp_path / "stopped.json").exists()
    assert not validate(callback, 3, 0.49)  # 11 points below
    stopped = json.loads((tmp_path / "stopped.json").read_text())
    assert stopped == pytest.approx({"stopped_after": 3, "epoch": 3, "top1": 0.49, "reference_top1": 0.6})


def test_it_goes_on_while_the_reference_is_not_so_far(validate, tmp_path):
    """And looks at the latest epoch that both have validated, also after a resume."""
    reference = tmp_path / "baseline.csv"
    callback = StopIfBehind(str(reference), after_epochs=2, below=5.0)
    assert validate(callback, 2, 0.2)  # there is no such file
    reference.write_text(HEADER + "0,9,,0.9\n1,19,,0.9")  # the last line is being written
    assert read_scores(reference) == {1: 0.9}
    assert validate(callback, 3, 0.95)
    reference.write_text(HEADER + "0,9,,0.9\n1,19,,0.9\n")
    resumed = StopIfBehind(str(reference), after_epochs=2, below=5.0)
    resumed.load_state_dict(callback.state_dict())
    assert not validate(resumed, 4, 0.95)
    assert json.loads((tmp_path / "stopped.json").read_text())["epoch"] == 2


def test_the_last_epoch_is_not_stopped(validate, tmp_path):
    reference = tmp_path / "baseline.csv"
    reference.write_text(HEADER + "4,49,,0.9\n")
    assert validate(StopIfBehind(str(reference), after_epochs=1, below=0.0), 5, 0.1)
