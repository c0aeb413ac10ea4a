"""A run that goes on takes its position from the checkpoint and its settings from the configuration."""

import copy

import pandas as pd
import pytest
import torch
from torch import nn

from nlvideo.__main__ import main
from nlvideo.training.optim import Optimizer, ResumableSchedule, keep_settings


def trained_for(steps: int, settings: Optimizer) -> tuple[torch.optim.Optimizer, ResumableSchedule]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    optimizer = settings.build(net, 8)
    keep_settings(optimizer)
    schedule = ResumableSchedule(optimizer, lambda step: 1 / (1 + step))
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()
        schedule.step()
    return optimizer, schedule


GIVEN = {
    "learning rate": {"lr": 0.001},
    "weight decay": {"weight_decay": 0.3, "decay_norms": True},
    "momentum": {"momentum": 0.5, "nesterov": False},
    "base_batch": {"base_batch": 32},
}


@pytest.mark.parametrize("name", GIVEN)
def test_settings_of_the_configuration_win(name):
    before, schedule = trained_for(4, Optimizer(lr=0.1))
    states = copy.deepcopy((before.state_dict(), schedule.state_dict()))
    settings = Optimizer(**{"lr": 0.1, **GIVEN[name]})
    optimizer, schedule = trained_for(0, settings)
    optimizer.load_state_dict(states[0])
    schedule.load_state_dict(states[1])
    for group, given in zip(optimizer.param_groups, settings.build(nn.Linear(1, 1), 8).param_groups, strict=False):
        assert group["lr"] == pytest.approx(settings.scaled_lr(8) / 5)  # at the fifth step
        assert group["initial_lr"] == settings.scaled_lr(8)
        for key in ("momentum", "nesterov", "weight_decay"):
            assert group[key] == given[key]
    assert schedule.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
    momenta = [state["momentum_buffer"] for state in optimizer.state.values()]
    for mine, other in zip(momenta, before.state.values(), strict=True):
        assert torch.equal(mine, other["momentum_buffer"])
        assert mine.any()


def test_the_state_of_another_optimizer_is_refused():
    optimizer, _ = trained_for(1, Optimizer(name="adamw"))
    with pytest.raises(ValueError, match="of another kind"):
        trained_for(0, Optimizer())[0].load_state_dict(optimizer.state_dict())


def test_a_run_goes_on_with_a_lower_learning_rate_and_says_so(trained, tiny, tmp_path, capfd):
    options = [f"--ckpt_path={trained / 'last.ckpt'}", "--model.optimizer.lr=0.0001", "--trainer.max_epochs=4"]
    options += ["--trainer.limit_val_batches=0", "--model.optimizer.weight_decay=0.3", "--trainer.max_steps=7"]
    assert main(["fit", *tiny, *options, f"--runs_dir={tmp_path}", "--name=lower"]) == 0
    (lr,) = pd.read_csv(tmp_path / "lower" / "metrics.csv")["lr"].dropna()
    assert 0 < lr <= 0.0001
    assert f"│ 0.3 │ 0.0001 │ {lr:g}" in " ".join(capfd.readouterr().out.split())
