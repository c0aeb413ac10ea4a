"""What a sweep compares: its YAML file, its plan, the keys of its runs."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from nlvideo.ablation.grid import name_of, sweep_of_settings
from nlvideo.ablation.launch import Resources, make_resources
from nlvideo.ablation.plan import all_runs, make_plan, make_plans, run_key, seconds_per_work
from nlvideo.ablation.results import published_numbers
from nlvideo.ablation.runs import StopRule
from nlvideo.ablation.variants import check_common, read_sweep, read_sweeps
from nlvideo.configuration import configuration

ROOT = Path(__file__).parents[2]
SWEEPS = ROOT / "configs" / "ablations"
PAPERS = sorted(SWEEPS.glob("*.yaml"))
DEMO = ["-c", str(ROOT / "configs" / "demo.yaml")]
R50 = ["-c", str(ROOT / "configs" / "kinetics400.yaml"), "-c", str(ROOT / "configs" / "c2d_r50_8x8.yaml")]


def sweep_file(folder: Path, **changes) -> Path:
    content = {"baseline": "plain", "variants": {"plain": {"model.net.after.at": "none"}, "as it is": {}}, **changes}
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_every_shipped_sweep_can_be_run(path):
    """Those of the paper's tables on ResNet-50, the others on the small network, which is quicker to count."""
    sweep = read_sweep(path)
    plan = make_plan(sweep, R50 if sweep.published else DEMO, [0])
    assert len({run.key for run in all_runs([plan])}) == len(plan.rows)  # no two variants are the same


def test_the_baseline_of_a_sweep_has_no_blocks_on_a_base_with_several_kinds():
    """Of every sweep, since an override of ``after.at`` would reach one kind of block alone."""
    plain = make_plan(
        sweep_of_settings(["model.net.after=none"], "plain"), [f"-c={ROOT}/configs/nln/nl_i3d_r50_32x4.yaml"], [0]
    )
    assert plain.baseline.blocks == "none"
    for path in set(SWEEPS.rglob("*.yaml")) - {SWEEPS / "se.yaml"}:
        sweep = read_sweep(path)
        (baseline,) = (variant for variant in sweep.variants if variant.name == sweep.baseline)
        overrides = dict(baseline.overrides)
        net = yaml.safe_load(overrides.get("model.net", "{}"))
        assert overrides.get("model.net.after", net.get("after")) == "none", path


def test_shipped_sweeps_open_with_their_command():
    for path in SWEEPS.rglob("*.yaml"):
        opening = path.read_text().partition("about:")[0]
        assert "nlvideo ablate -c configs/" in opening
        assert f"--sweep {path.relative_to(ROOT)}" in opening


def test_published_numbers_stand_beside_the_papers_network_alone():
    numbers = {path.stem: read_sweep(path) for path in PAPERS}
    of_the_papers = {name for name, sweep in numbers.items() if sweep.published}
    assert of_the_papers == {"pairwise", "stage", "depth", "domain", "vs_i3d", "i3d", "long"}
    r50 = configuration(R50)
    for name in of_the_papers - {"vs_i3d"}:
        assert set(published_numbers(numbers[name], r50)) == {variant.name for variant in numbers[name].variants}
    r101 = configuration([*R50, "--model.net.depth=101"])
    assert published_numbers(numbers["depth"], r101)["10 blocks"] == [75.1, 91.6]
    assert published_numbers(numbers["vs_i3d"], r101)["I3D 3x3x3"] == [74.1, 91.2]
    assert not published_numbers(numbers["depth"], configuration([*R50, "--data.num_classes=101"]))
    assert not published_numbers(numbers["depth"], configuration([*R50, "--model.net.arch=i3d"]))
    assert not published_numbers(numbers["depth"], configuration(DEMO))


def test_a_grid_has_every_position_of_any_depth():
    sweep = read_sweep(SWEEPS / "placement_grid.yaml")
    plan = make_plan(sweep, [*DEMO, "--model.net.depth=[1, 1, 3, 1]"], [0])
    places = [("res2", 0), ("res3", 0), ("res4", 0), ("res4", 1), ("res4", 2), ("res5", 0)]
    expected = {f"{stage}[{i}]": f"NonLocal {stage}[{i}]" for stage, i in places}
    assert {row.variant.name: row.blocks for row in plan.rows} == {"plain": "none", **expected}


def test_a_grid_over_a_stage_that_is_not_there(tmp_path):
    path = sweep_file(tmp_path, each_position={"model.net.after.at": ["res6"]})
    with pytest.raises(ValueError, match=r"each_position, .* no residual blocks in 'res6'; expected"):
        make_plan(read_sweep(path), DEMO, [0])


def test_dotted_and_nested_overrides_are_the_same(tmp_path):
    dotted = {"model.net.after.at": {"res4": [-2]}, "model.optimizer.lr": 0.5, "data.crop_padding": 1}
    nested = {
        "model": {"net": {"after": {"at": {"res4": [-2]}}}, "optimizer": {"lr": 0.5}},
        "data": {"crop_padding": 1},
    }
    path = sweep_file(tmp_path, baseline="dotted", variants={"dotted": dotted, "nested": nested})
    first, second = make_plan(read_sweep(path), DEMO, [0]).rows
    assert first.config == second.config
    assert first.runs[0].key == second.runs[0].key
    assert (
        first.config["model"]["net"]["init_args"]["after"]["main"]["block"]["init_args"]["init_scale"] == 1.0
    )  # the base's
    assert (first.config["model"]["optimizer"]["lr"], first.config["data"]["crop_padding"]) == (0.5, 1)


def test_values_are_split_at_commas_outside_of_brackets():
    sweep = sweep_of_settings(["model.net.after.at=none,nl5,{res3: [0, 1], res4: 2}"], "where")
    assert [variant.arguments() for variant in sweep.variants] == [
        ["--model.net.after.at=none"],
        ["--model.net.after.at=nl5"],
        ["--model.net.after.at={res3: [0, 1], res4: 2}"],
    ]
    assert [variant.name for variant in sweep.variants] == ["none", "nl5", "res3.0-1, 2 in res4"]
    assert sweep.baseline == "none"


def test_several_settings_give_the_grid():
    sweep = sweep_of_settings(["model.net.arch=c2d,i3d", "model.optimizer.lr=0.1,0.01"], "grid")
    assert [variant.name for variant in sweep.variants] == [
        "c2d, lr 0.1",
        "c2d, lr 0.01",
        "i3d, lr 0.1",
        "i3d, lr 0.01",
    ]


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("model.net.after.at", {"res3": [0, 1], "res4": [1]}, "res3.0-1, res4.1"),
        ("model.net.after.at", {"res3": [0, 2], "res5": [-1]}, "res3.0+2, res5.-1"),
        ("model.net.depth", [1, 2, 2, 1], "depth [1, 2, 2, 1]"),
        ("model.channels_last", True, "channels_last true"),
        (
            "model.net.branch.block",
            {"class_path": "SqueezeExcite", "reduction": 4},
            "block class_path SqueezeExcite reduction 4",
        ),
    ],
)
def test_values_have_names_that_can_be_read(key, value, name):
    assert name_of(key, value) == name


BAD_SETTINGS = {
    "model.net.arch": "expected KEY=VALUE,VALUE",
    "=c2d": "expected KEY=VALUE,VALUE",
    "model.net.arch=": "expected KEY=VALUE,VALUE",
    "model.net.after.at={res3": "expected KEY=VALUE,VALUE",
    "model.net.arch=c2d,c2d": "names a value twice",
    "seed_everything=0,1": "use --seeds",
}


@pytest.mark.parametrize("setting", BAD_SETTINGS)
def test_bad_setting(setting):
    with pytest.raises(ValueError, match=BAD_SETTINGS[setting]):
        sweep_of_settings([setting], "bad")


BAD_FILES = {
    "baseline": ({"baseline": "c2d"}, "mine.yaml: baseline 'c2d' is none of the variants; expected one of plain"),
    "key": ({"varaints": {}}, "mine.yaml: no key 'varaints'; expected about, baseline, variants"),
    "variants": ({"variants": ["plain"]}, "mine.yaml: expected a mapping with the keys"),
    "name": ({"variants": {"plain": {}, 5: {}}}, "mine.yaml: variant 5: a name is text"),
    "overrides": ({"variants": {"plain": "nl5"}}, "mine.yaml, variant plain: expected overrides such as"),
    "seed": ({"variants": {"plain": {"seed_everything": 1}}}, "mine.yaml, variant plain: seed_everything is not for"),
    "published": ({"published": {"c2d R50": {"nl5": [1]}}}, "mine.yaml: published, c2d R50: no variant 'nl5'"),
    "number": ({"published": {"c2d R50": {"plain": 71.8}}}, "published, c2d R50, plain: expected [top-1] or"),
    "controls": (
        {"controls": ["flops"]},
        "mine.yaml: controls: no measure 'flops'; expected some of params, macs, time",
    ),
    "of one": ({"controls": {"as it is": "params"}}, "controls, as it is: expected a list of params, macs, time, got"),
    "stop": (
        {"stop": {"after_epochs": 5}},
        "mine.yaml: stop: expected {after_epochs: 5, below_baseline: 5.0} with your",
    ),
    "epochs": ({"stop": {"after_epochs": 0, "below_baseline": 5}}, "stop, after_epochs: expected a whole number of"),
    "points": (
        {"stop": {"after_epochs": 5, "below_baseline": "x"}},
        "stop, below_baseline: expected percentage points",
    ),
    "time": (
        {"max_time": 3600},
        'max_time: expected days, hours, minutes and seconds in quotes, such as "00:01:30:00"',
    ),
    "positions": ({"each_position": "res4"}, "mine.yaml: each_position: expected a mapping, got 'res4'"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_sweep_file_is_named_with_its_key(name, tmp_path):
    changes, words = BAD_FILES[name]
    with pytest.raises(ValueError) as raised:
        read_sweep(sweep_file(tmp_path, **changes))
    assert words in str(raised.value)


def test_sweeps_of_one_name_and_missing_ones(tmp_path):
    path = sweep_file(tmp_path)
    with pytest.raises(ValueError, match="two sweeps are called mine"):
        read_sweeps([path, path])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"a folder without \.yaml files"):
        read_sweeps([tmp_path / "empty"])
    with pytest.raises(FileNotFoundError, match="no such file; those of nlvideo"):
        read_sweep(tmp_path / "gone.yaml")


INVALID = {
    "placement": ({"model.net.after.at": {"res5": [-2]}}, "no block -2; res5 has 1 residual blocks"),
    "key": ({"model.net.widht": 8}, "widht"),
    "no clip for it": ({"data.clip_frames": 9, "model.net.after.block.temporal_groups": 4}, "choose a divisor"),
}


@pytest.mark.parametrize("name", INVALID)
def test_one_invalid_variant_refuses_the_sweep(name, tmp_path):
    overrides, words = INVALID[name]
    path = sweep_file(tmp_path, variants={"plain": {"model.net.after.at": "none"}, "wrong one": overrides})
    with pytest.raises(ValueError, match="sweep mine, variant wrong one: ") as raised:
        make_plan(read_sweep(path), DEMO, [0])
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_mistake_in_the_base_is_not_blamed_on_a_variant(tmp_path):
    with pytest.raises(ValueError, match=r"^no option --data\.bathc; did you mean --data\.batch_size"):
        make_plans([read_sweep(sweep_file(tmp_path))], [*DEMO, "--data.bathc=3"], [0])


@pytest.mark.parametrize("argument", ["--name=x", "--seed_everything", "--ckpt_path=last.ckpt"])
def test_what_belongs_to_the_sweep_is_no_override(argument):
    with pytest.raises(ValueError, match="use "):
        check_common(["--trainer.max_epochs", "1", argument])


def test_a_key_changes_with_what_a_result_depends_on():
    base = configuration(DEMO)

    def key(section=None, name=None, value=None):
        changed = copy.deepcopy(base)
        if section:
            changed[section][name] = value
        return run_key(changed)

    assert key() == key("data", "num_workers", 0) == key("trainer", "logger", False)
    assert run_key({**base, "name": "x", "runs_dir": "y"}) == key()
    of_the_test = [key(*setting) for setting in (("data", "num_clips", 3), ("model", "inference_dtype", "bfloat16"))]
    assert {its.partition("-")[0] for its in of_the_test} == {key().partition("-")[0]}
    assert len({key(), *of_the_test}) == 3
    others = [("data", "frame_interval", 4), ("trainer", "max_epochs", 3), ("model", "label_smoothing", 0.1)]
    assert len({key(), run_key({**base, "seed_everything": 1}), *(key(*other) for other in others)}) == 5


def test_a_run_that_several_tables_have_is_made_once(tmp_path):
    plans = make_plans(read_sweeps([SWEEPS / "demo"]), DEMO, [0, 1])
    assert sum(len(row.runs) for plan in plans for row in plan.rows) == 34
    runs = all_runs(plans)
    assert len({run.key for run in runs}) == len(runs) == 26
    assert [run.slug[-1] for run in runs] == ["0"] * 13 + ["1"] * 13  # a whole table early
    assert seconds_per_work(runs, tmp_path) is None  # nothing is finished: no time is made up


def test_baselines_come_first_and_are_not_stopped(tmp_path):
    variants = {"first": {"model.net.width": 8}, "plain": {"model.net.width": 4}}
    path = sweep_file(
        tmp_path, variants=variants, stop={"after_epochs": 2, "below_baseline": 5}, max_time="00:00:10:00"
    )
    plan = make_plan(read_sweep(path), DEMO, [0, 1])
    runs = all_runs([plan])
    assert [run.label.partition(": ")[2] for run in runs] == [
        f"{name}, seed {seed}" for seed in (0, 1) for name in ("plain", "first")
    ]
    assert [run.stop for run in runs] == [None, StopRule(2, 5.0)] * 2
    assert [run.baseline for run in runs[1::2]] == runs[::2]  # of the same seed
    assert plan.baseline.config["trainer"]["max_time"] == "00:00:10:00"
    without = make_plan(replace(read_sweep(path), name="never", stop=None), DEMO, [0, 1])
    for plans in ([plan, without], [without, plan]):
        assert all(run.stop is None for run in all_runs(plans))  # that another sweep doesn't stop


def test_devices_and_cores_are_divided_among_the_jobs(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)))
    assert make_resources(None, []) == [Resources(None, None)]
    assert [resource.devices for resource in make_resources(None, ["0", "1", "2"])] == ["0", "1", "2"]
    assert [resource.devices for resource in make_resources(2, ["0", "1", "2", "3"])] == ["0,2", "1,3"]
    assert [resource.devices for resource in make_resources(3, ["0", "1"])] == ["0", "1", "0"]
    assert [resource.cores for resource in make_resources(4, [])] == [2] * 4
    environment = make_resources(2, ["0", "1"])[1].environment()
    assert (environment["CUDA_VISIBLE_DEVICES"], environment["OMP_NUM_THREADS"]) == ("1", "4")
    with pytest.raises(ValueError, match="--jobs 0"):
        make_resources(0, [])


def test_the_configuration_is_what_fit_would_run_with():
    config = configuration([*DEMO, "--model.net.width=8"])
    assert config["model"]["net"]["init_args"]["width"] == 8
    assert config["model"]["net"]["init_args"]["num_classes"] == config["data"]["num_classes"] == 4
    with pytest.raises(ValueError, match=r"^no option --x "):
        configuration([*DEMO, "--x=1"])
