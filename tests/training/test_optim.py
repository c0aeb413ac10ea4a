"""Parameter groups, the optimizer's steps and the learning rate, against their formulas."""

import math

import pytest
import torch
from torch import nn

from nlvideo.blocks import DualAttention, NonLocal
from nlvideo.models import Insert, ResNet3d
from nlvideo.training.optim import Optimizer, Schedule

SLOWFAST = Schedule(name="cosine", warmup=34, warmup_start=0.1, cosine_after_warmup=False)
EPOCH = 3756  # steps of an epoch of Kinetics-400, 240,436 videos, at a batch of 64


@pytest.fixture(scope="module")
def net():
    after = {"early": Insert(NonLocal, {"res3": [0]}), "late": Insert(DualAttention, {"res5": [0]})}
    return ResNet3d("i3d", [1, 1, 1, 1], num_classes=5, width=8, after=after)


def decayed(net, **options) -> set[str]:
    """Names of the parameters that an optimizer decays."""
    groups = Optimizer(weight_decay=0.1, **options).build(net, 64).param_groups
    assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))
    assert {group["weight_decay"] for group in groups} <= {0.0, 0.1}
    ids = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    return {name for name, parameter in net.named_parameters() if id(parameter) in ids}


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_only_weights_are_decayed_by_default(net, name):
    expected = {name for name, parameter in net.named_parameters() if parameter.ndim > 1}
    assert decayed(net, name=name) == expected
    assert {"blocks.6.proj.weight", "blocks.3.res_blocks.0.after.conv_theta.weight"} <= expected


def test_video_nonlocal_net_and_slowfast_decay_all_but_batch_norms(net):
    of_norms = {
        f"{module_name}.{name}"
        for module_name, module in net.named_modules()
        if isinstance(module, nn.BatchNorm3d)
        for name in ("weight", "bias")
    }
    given = decayed(net, decay_biases=True)
    assert given == {name for name, _ in net.named_parameters()} - of_norms
    block = "blocks.3.res_blocks.0.after"
    assert {"blocks.6.proj.bias", f"{block}.conv_theta.bias", f"{block}.conv_out.bias"} <= given
    assert {f"{block}.norm.weight", "blocks.0.norm.bias"} <= of_norms


def test_mmaction2_decays_everything(net):
    assert decayed(net, decay_biases=True, decay_norms=True) == {name for name, _ in net.named_parameters()}


def test_frozen_parameters_are_in_no_group():
    net = ResNet3d("c2d", [1, 1, 1, 1], num_classes=5, width=4, freeze_bn="affine")
    groups = Optimizer().parameter_groups(net)
    assert [group["name"] for group in groups] == ["weights", "biases"]
    assert groups[1]["params"] == [net.get_parameter("blocks.6.proj.bias")]


def test_synchronised_norms_are_norms(net):
    groups = Optimizer().parameter_groups(nn.SyncBatchNorm.convert_sync_batchnorm(net))
    norms = next(group["params"] for group in groups if group["name"] == "norms")
    assert {id(net.get_parameter("blocks.0.norm.weight"))} <= {id(parameter) for parameter in norms}


@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_steps(nesterov):
    net = nn.Linear(1, 1, bias=False)
    nn.init.ones_(net.weight)
    optimizer = Optimizer(name="sgd", lr=0.1, momentum=0.9, weight_decay=0.0, nesterov=nesterov).build(net, 64)
    expected, velocity = 1.0, 0.0
    for _ in range(3):
        net.weight.grad = net.weight.detach().clone()  # of w^2 / 2
        optimizer.step()
        velocity = 0.9 * velocity + expected
        expected -= 0.1 * (expected + 0.9 * velocity if nesterov else velocity)
        assert net.weight.item() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_fused_step_is_the_same_step(name):
    torch.manual_seed(0)
    start, gradient = torch.randn(5, 3), torch.randn(5, 3)
    weights = []
    for fused in (None, False, True):
        net = nn.Linear(3, 5, bias=False)
        net.load_state_dict({"weight": start})
        optimizer = Optimizer(name=name, fused=fused).build(net, 64)
        for _ in range(3):
            net.weight.grad = gradient.clone()
            optimizer.step()
        weights.append(net.weight.detach())
    assert torch.equal(weights[0], weights[1])
    torch.testing.assert_close(weights[0], weights[2])
    assert not torch.equal(weights[0], start)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="a fused optimizer is the default on CUDA only")
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_fused_is_the_default_on_cuda_unless_mixed_precision_clips(name):
    net = nn.Linear(3, 5).cuda()
    assert Optimizer(name=name).build(net, 64).defaults["fused"]
    assert not Optimizer(name=name).build(net, 64, clips_in_mixed_precision=True).defaults["fused"]


def test_pytorch_chooses_on_the_cpu():
    assert Optimizer().build(nn.Linear(3, 5), 64).defaults["fused"] is None  # False would turn foreach off


def test_fused_and_clipping_in_mixed_precision_exclude_each_other():
    with pytest.raises(ValueError, match="leave one of them out"):
        Optimizer(fused=True).build(nn.Linear(3, 5), 64, clips_in_mixed_precision=True)


def test_the_linear_rule_when_asked():
    assert Optimizer(lr=0.1).scaled_lr(8) == 0.1
    assert Optimizer(lr=0.1, base_batch=64).scaled_lr(8) == pytest.approx(0.0125)
    assert Optimizer(lr=0.1, base_batch=64).scaled_lr(512) == pytest.approx(0.8)
    with pytest.raises(ValueError, match="base_batch"):
        Optimizer(base_batch=0)


@pytest.mark.parametrize("epoch", [0, 17, 33.5, 34, 34.25, 115, 190, 196])
def test_slowfast_s_cosine_is_not_shifted_by_the_warm_up(epoch):
    """lr 0.1, WARMUP_START_LR 0.01, WARMUP_EPOCHS 34, MAX_EPOCH 196."""
    if epoch < 34:
        lr_end = 0.1 * (math.cos(math.pi * 34 / 196) + 1) / 2
        expected = 0.01 + (lr_end - 0.01) * epoch / 34
    else:
        expected = 0.1 * (math.cos(math.pi * epoch / 196) + 1) / 2
    given = 0.1 * SLOWFAST.multiplier(int(epoch * EPOCH), 196 * EPOCH, EPOCH)
    assert given == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_the_learning_rate_changes_at_every_step():
    """SlowFast evaluates its schedule at cur_epoch + cur_iter / iterations of an epoch."""
    for step in (40 * EPOCH + 1, 40 * EPOCH + 2):
        expected = (math.cos(math.pi * (step / EPOCH) / 196) + 1) / 2
        assert SLOWFAST.multiplier(step, 196 * EPOCH, EPOCH) == pytest.approx(expected, rel=1e-12)
    last = SLOWFAST.multiplier(196 * EPOCH - 1, 196 * EPOCH, EPOCH)
    assert 0 < last < 1e-10


@pytest.mark.parametrize(("unit", "steps_per_unit"), [("epochs", 7), ("steps", 1)])
def test_cosine_after_the_warm_up(unit, steps_per_unit):
    schedule = Schedule(name="cosine", unit=unit, warmup=2, warmup_start=0.1)
    expected = {0: 0.1, 1: 0.55, 2: 1.0, 4: 0.5 * (1 + math.cos(math.pi / 4)), 10: 0.0}
    for position, multiplier in expected.items():
        given = schedule.multiplier(position * steps_per_unit, 10 * steps_per_unit, 7)
        assert given == pytest.approx(multiplier)


def test_without_a_warm_up_the_two_cosines_are_one():
    forms = [Schedule(cosine_after_warmup=after) for after in (True, False)]
    for step in range(0, 101, 10):
        assert forms[0].multiplier(step, 100, 10) == forms[1].multiplier(step, 100, 10)


@pytest.mark.parametrize(("unit", "steps_per_unit"), [("epochs", 10), ("steps", 1)])
def test_steps(unit, steps_per_unit):
    schedule = Schedule(name="steps", unit=unit, milestones=[44, 88], factor=0.1)
    positions = (0, 43, 44, 88)
    given = [schedule.multiplier(position * steps_per_unit, 118 * steps_per_unit, 10) for position in positions]
    assert given == pytest.approx([1, 1, 0.1, 0.01])


def test_a_warm_up_ends_where_the_steps_are():
    schedule = Schedule(name="steps", milestones=[2, 8], warmup=4, warmup_start=0.02)
    given = [schedule.multiplier(epoch * 10, 100, 10) for epoch in (0, 2, 4, 8)]
    assert given == pytest.approx([0.02, 0.06, 0.1, 0.01])


@pytest.mark.parametrize("given", [{"name": "steps"}, {"name": "cosine", "milestones": [3]}])
def test_a_setting_without_effect_is_an_error(given):
    with pytest.raises(ValueError, match="milestones"):
        Schedule(**given)
