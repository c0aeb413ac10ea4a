"""Controls: the baseline made deeper or wider until it costs as much as a variant."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nlvideo.ablation import controls, step_time
from nlvideo.ablation.control_tables import control_frame, markdown_controls, plan_lines
from nlvideo.ablation.controls import Searcher, nearest
from nlvideo.ablation.grid import sweep_of_settings
from nlvideo.ablation.plan import make_plan
from nlvideo.ablation.step_time import StepTimes
from nlvideo.checkpoint import build
from nlvideo.cost.tables import NetworkSpec
from nlvideo.models import ResNet3d

DEMO = ["-c", str(Path(__file__).parents[2] / "configs" / "demo.yaml"), "--data.crop_size=32"]


@pytest.fixture(scope="module")
def plan():
    """The plain network, and one block in res2, with controls in parameters and multiply-adds."""
    sweep = sweep_of_settings(["model.net.after.at=none,{res2: [0]}"], "where")
    return make_plan(replace(sweep, controls=("params", "macs")), DEMO, [0, 1])


def params(width: float) -> int:
    with torch.device("meta"):
        net = ResNet3d("c2d", [1, 1, 1, 1], 5, width=width)
    return sum(parameter.numel() for parameter in net.parameters())


def test_a_control_costs_what_its_variant_costs(plan):
    rows = {row.variant.name: row for row in plan.rows}
    variant = rows["res2.0"].cost
    of_params, of_macs = plan.controls
    assert (of_params.measure, of_params.variant, of_macs.measure) == ("params", "res2.0", "macs")
    # The block has 2 % of the parameters that one more channel in res5 brings: nothing is nearer than the baseline.
    assert of_params.name == "none" and not of_params.settings
    assert of_params.off == pytest.approx(rows["none"].cost.params / variant.params - 1)
    control = rows[of_macs.name]
    ((knob, value),) = of_macs.settings.items()
    assert control.config["model"]["net"]["init_args"][knob] == value
    assert of_macs.off == pytest.approx(control.cost.gmacs / variant.gmacs - 1)
    assert abs(of_macs.off) < 0.03
    assert [run.slug[-1] for run in control.runs] == ["0", "1"]  # a run for each seed
    assert "control of res2.0, multiply-adds: none, " in plan_lines(plan)[1]


def test_no_width_is_nearer_than_the_one_found():
    assert nearest(lambda n: params(4 + n / 8), params(5.25) + 1) == 10
    assert nearest(lambda n: params(4 + n / 8), params(4)) == 0


@pytest.mark.parametrize(("target", "steps"), [(0, 0), (2.4, 2), (2.6, 3), (7, 7), (100, 100)])
def test_the_nearest_number_of_steps(target, steps):
    assert nearest(float, target) == steps


def test_a_deeper_network_is_taken_if_it_comes_near(plan):
    """With times as if a residual block of res4 took 10 s, a channel of the stem 1 s and a non-local block 19.9 s."""

    def seconds(spec: NetworkSpec) -> float:
        width, has_block = spec.net.blocks[0].conv.out_channels, "NonLocal" in str(spec.net)
        return 10.0 * len(spec.net.residual_blocks()["res4"]) + 19.9 * has_block + width

    searcher = Searcher(plan.rows[0].config, seconds)
    found = searcher.find("res2.0", plan.rows[1].config, "time", "none")
    assert found.settings == {"depth": [1, 2, 4, 1]}
    assert found.name == "none, depth [1, 2, 4, 1]"
    assert found.off == pytest.approx(56 / 55.9 - 1)


def test_a_variants_difference_to_its_control_is_shown(plan, tmp_path):
    frame = control_frame(plan, tmp_path)
    assert frame["control"].tolist() == [control.name for control in plan.controls]
    assert frame["off"].tolist() == [control.off for control in plan.controls]
    assert "| res2.0  | multiply-adds |" in markdown_controls([plan], tmp_path)


def test_networks_of_other_kinds_have_no_controls(plan, monkeypatch):
    monkeypatch.setattr(controls, "ResNet3d", type("Another", (ResNet3d,), {}))
    with pytest.raises(ValueError, match="controls: the baseline's network is a ResNet3d; expected ResNet3d, whose"):
        Searcher(plan.rows[0].config, None)


def test_controls_of_variants_that_are_not_there(plan):
    with pytest.raises(ValueError, match=r"where, controls: 'res9' is no variant to match; expected some of res2\.0"):
        make_plan(replace(plan.sweep, controls={"res9": ("params",)}), DEMO, [0])


def test_a_width_between_whole_numbers_rounds_each_number_of_channels():
    with torch.device("meta"):
        net = ResNet3d("c2d", [1, 1, 1, 1], 5, width=4.3)
    assert net.blocks[0].conv.out_channels == 4
    assert [blocks[0].channels // 4 for blocks in net.residual_blocks().values()] == [4, 9, 17, 34]
    assert build(net.config()).config() == net.config()


def test_a_step_is_measured_once(plan, tmp_path, monkeypatch):
    config = plan.rows[0].config
    config = {**config, "data": {**config["data"], "batch_size": 2}}
    times = StepTimes(tmp_path / "new" / "step_times.json")
    seconds = Searcher(config, times).cost("time", "width", 0)
    assert seconds > 0
    monkeypatch.setattr(step_time, "measure_step", None)
    assert StepTimes(times.path)(NetworkSpec.of(config)) == seconds
    (measured,) = json.loads(times.path.read_text()).values()
    assert measured["clips"] == 2
