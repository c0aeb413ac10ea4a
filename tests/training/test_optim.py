import math

import pytest
import torch
from torch import nn

from nlvideo.training.optim import Optimizer, Schedule


def test_norms_and_biases_are_not_decayed():
    net = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4), nn.Linear(4, 2))
    for name in ("sgd", "adamw"):
        decayed, spared = Optimizer(name=name, weight_decay=0.1).build(net.parameters(), 64).param_groups
        assert decayed["weight_decay"] == 0.1
        assert {id(p) for p in decayed["params"]} == {id(net[0].weight), id(net[2].weight)}
        assert spared["weight_decay"] == 0.0
        assert len(spared["params"]) == 4


def test_sgd_takes_nesterov_steps():
    weight = nn.Parameter(torch.ones(1, 1))
    optimizer = Optimizer(name="sgd", lr=0.1, momentum=0.9, weight_decay=0.0).build([weight], 64)
    expected, velocity = 1.0, 0.0
    for _ in range(3):
        weight.grad = weight.detach().clone()  # of w^2 / 2
        optimizer.step()
        velocity = 0.9 * velocity + expected
        expected -= 0.1 * (expected + 0.9 * velocity)
        assert weight.item() == pytest.approx(expected)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_fused_step_is_the_same_step(name, fused):
    torch.manual_seed(0)
    start, gradient = torch.randn(5, 3), torch.randn(5, 3)
    weights = []
    for each in (False, fused):
        weight = nn.Parameter(start.clone())
        optimizer = Optimizer(name=name, fused=each).build([weight], 64)
        for _ in range(3):
            weight.grad = gradient.clone()
            optimizer.step()
        weights.append(weight.detach())
    torch.testing.assert_close(*weights)
    assert not torch.equal(weights[0], start)


def test_the_linear_rule_when_asked():
    assert Optimizer(lr=0.1).scaled_lr(8) == 0.1
    assert Optimizer(lr=0.1, base_batch=64).scaled_lr(8) == pytest.approx(0.0125)
    assert Optimizer(lr=0.1, base_batch=64).scaled_lr(512) == pytest.approx(0.8)
    with pytest.raises(ValueError, match="base_batch"):
        Optimizer(base_batch=0)


@pytest.mark.parametrize(("unit", "steps_per_unit"), [("epochs", 7), ("steps", 1)])
def test_cosine_with_warm_up(unit, steps_per_unit):
    schedule = Schedule(name="cosine", unit=unit, warmup=2, warmup_start=0.1)
    expected = {0: 0.1, 1: 0.55, 2: 1.0, 4: 0.5 * (1 + math.cos(math.pi / 4)), 10: 0.0}
    for position, multiplier in expected.items():
        given = schedule.multiplier(position * steps_per_unit, 10 * steps_per_unit, 7)
        assert given == pytest.approx(multiplier)


@pytest.mark.parametrize(("unit", "steps_per_unit"), [("epochs", 10), ("steps", 1)])
def test_steps(unit, steps_per_unit):
    schedule = Schedule(name="steps", unit=unit, milestones=[44, 88], factor=0.1)
    positions = (0, 43, 44, 88)
    given = [schedule.multiplier(position * steps_per_unit, 118 * steps_per_unit, 10) for position in positions]
    assert given == pytest.approx([1, 1, 0.1, 0.01])


@pytest.mark.parametrize("given", [{"name": "steps"}, {"name": "cosine", "milestones": [3]}])
def test_a_setting_without_effect_is_an_error(given):
    with pytest.raises(ValueError, match="milestones"):
        Schedule(**given)
