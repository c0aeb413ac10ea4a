import math

import pytest
import torch
from torch import nn

from nlvideo.optim import Optimizer, Schedule


def test_norms_and_biases_are_not_decayed():
    net = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4), nn.Linear(4, 2))
    for name in ("sgd", "adamw"):
        decayed, spared = Optimizer(name=name, weight_decay=0.1).build(net.parameters()).param_groups
        assert decayed["weight_decay"] == 0.1
        assert {id(p) for p in decayed["params"]} == {id(net[0].weight), id(net[2].weight)}
        assert spared["weight_decay"] == 0.0
        assert len(spared["params"]) == 4


def test_sgd_takes_nesterov_steps():
    weight = nn.Parameter(torch.ones(1, 1))
    optimizer = Optimizer(name="sgd", lr=0.1, momentum=0.9, weight_decay=0.0).build([weight])
    expected, velocity = 1.0, 0.0
    for _ in range(3):
        weight.grad = weight.detach().clone()  # of w^2 / 2
        optimizer.step()
        velocity = 0.9 * velocity + expected
        expected -= 0.1 * (expected + 0.9 * velocity)
        assert weight.item() == pytest.approx(expected)


def test_cosine_with_warm_up():
    schedule = Schedule(name="cosine", warmup_epochs=2, warmup_start=0.1)
    assert schedule.multiplier(0, 10) == pytest.approx(0.1)
    assert schedule.multiplier(1, 10) == pytest.approx(0.55)
    assert schedule.multiplier(2, 10) == pytest.approx(1.0)
    assert schedule.multiplier(4, 10) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert schedule.multiplier(10, 10) == pytest.approx(0.0)


def test_steps():
    schedule = Schedule(name="steps", milestones=[44, 88], factor=0.1)
    assert [schedule.multiplier(epoch, 118) for epoch in (0, 43.9, 44, 88)] == pytest.approx([1, 1, 0.1, 0.01])


@pytest.mark.parametrize("given", [{"name": "steps"}, {"name": "cosine", "milestones": [3]}])
def test_a_setting_without_effect_is_an_error(given):
    with pytest.raises(ValueError, match="milestones"):
        Schedule(**given)
