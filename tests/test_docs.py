"""Every shipped configuration parses and builds; every command of the README parses."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import torch
import yaml

from nlvideo.__main__ import main
from nlvideo.checkpoint import build
from nlvideo.cost.count import count_cost

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
WRITTEN_EARLIER = ("runs/mine/config.yaml", "nl.yaml")
NETWORK = ROOT / "configs" / "c2d_r50_8x8.yaml"


def readme_commands() -> list[str]:
    blocks = re.findall(r"```(?:sh|bash)\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines = [re.sub(r".*torchrun .* -m nlvideo", ".venv/bin/nlvideo", line) for line in lines]
    lines += [line.strip() for line in (ROOT / "tools" / "demo.sh").read_text().splitlines() if "  .venv/bin/" in line]
    return [line[line.index(".venv/bin/") :] for line in lines if ".venv/bin/" in line]


def printed_config(arguments: list[str], capsys) -> dict:
    """What `--print_config` prints: the parsed configuration, without running it."""
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--print_config"])
    shown = capsys.readouterr()
    assert stop.value.code == 0, shown.err
    return yaml.safe_load(shown.out)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.name)
def test_every_config_parses_and_builds(config, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    # A recipe of data alone is completed by a network, a network alone by its number of classes.
    with_network = ["-c", str(NETWORK)] if "net" not in yaml.safe_load(config.read_text()).get("model", {}) else []
    with_data = ["--data.num_classes=7"] if "num_classes" not in yaml.safe_load(config.read_text())["data"] else []
    parsed = printed_config(["fit", "-c", str(config), *with_network, *with_data], capsys)
    net, data = parsed["model"]["net"], parsed["data"]
    net["init_args"]["num_classes"] = data["num_classes"]
    with torch.device("meta"):
        built = build(net)
    clip = (data["clip_frames"], data["crop_size"], data["crop_size"])
    assert count_cost(built, clip).macs > 0


@pytest.mark.parametrize("command", readme_commands())
def test_every_documented_command_parses(command, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    program, *arguments = shlex.split(command.partition("  #")[0])
    if program.endswith("nlvideo") and arguments[0] in ("fit", "validate", "test"):
        # What an earlier command wrote is not there.
        given = [str(NETWORK) if argument in WRITTEN_EARLIER else argument for argument in arguments]
        extra = [] if "--data.num_classes" in command or "kinetics400" in command else ["--data.num_classes=4"]
        printed_config([*given, *extra], capsys)
    elif program.endswith("nlvideo"):
        assert arguments[0] == "predict"
        given = ["gone.ckpt" if argument.endswith(".ckpt") else argument for argument in arguments]
        assert main(given) == 1  # parsed, and stopped at the checkpoint
        assert "gone.ckpt: no such file" in capsys.readouterr().err
    else:
        script = ROOT / arguments[0]
        monkeypatch.syspath_prepend(script.parent)  # as `python script` does
        spec = importlib.util.spec_from_file_location(script.stem, script)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        options, overrides = module.build_parser().parse_known_args(arguments[1:])
        if overrides:  # those of `nlvideo fit`, which tools/cost.py takes too
            printed_config(["fit", "-c", options.config[0], "--data.num_classes=2", *overrides], capsys)


def test_python_of_the_readme_runs():
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert snippets
    for snippet in snippets:
        exec(snippet, {})


def test_the_readme_opens_with_the_two_commands():
    opening = (ROOT / "README.md").read_text().split("##")[0]
    assert "bash tools/demo.sh" in opening
    assert "bash tools/test.sh" in opening
