"""What the documentation says can be done: every command parses, every link leads somewhere, every snippet runs."""

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml

from nlvideo.__main__ import COMMANDS, main
from nlvideo.checkpoint import build
from nlvideo.cost.count import count_cost

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
NETWORK = ROOT / "configs" / "c2d_r50_8x8.yaml"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
PAGES += [*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").glob("*.md"))]
NOT_OURS = ("source .venv/bin/activate", "pip install", "[ $? -ne")  # of the shell blocks


def commands_of(page: Path) -> list[str]:
    """Return the command lines of a page: all of its shell blocks, and `python tools/..` between backquotes."""
    text = page.read_text()
    blocks = re.findall(r"```(?:sh|bash)\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("#", *NOT_OURS))]
    lines += re.findall(r"`(python tools/[^`]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [re.sub(r"^(torchrun|srun) .*?(-m )?nlvideo ", "nlvideo ", line) for line in lines]


def commands_of_the_demo() -> list[str]:
    lines = (ROOT / "tools" / "demo.sh").read_text().splitlines()
    return [line.partition(".venv/bin/")[2] for line in lines if "  .venv/bin/" in line]


def commands_of_headers() -> list[str]:
    """Return what configurations name at their heads, but trainings: tests/test_configs.py runs those."""
    text = "\n".join(config.read_text() for config in sorted((ROOT / "configs").rglob("*.yaml")))
    return re.findall(r"^#   ((?:python tools/|nlvideo (?:ablate|demo-data) ).*)$", text, flags=re.MULTILINE)


def all_commands() -> list[str]:
    # tests/test_examples.py runs those of examples/.
    commands = [command for page in PAGES if page.parent.name != "examples" for command in commands_of(page)]
    commands += [*commands_of_the_demo(), *commands_of_headers()]
    return list(dict.fromkeys(command.partition("  #")[0].strip() for command in commands))


def printed_config(arguments: list[str], capsys) -> dict:
    """Return what `--print_config` prints: the parsed configuration, without running it."""
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--print_config"])
    shown = capsys.readouterr()
    assert stop.value.code == 0, shown.err
    return yaml.safe_load(shown.out)


def check_nlvideo(arguments: list[str], capsys) -> None:
    command, *options = arguments
    if "--help" in options:
        assert main(arguments) == 0
    elif any(option.endswith("help") for option in options):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
    elif command in ("fit", "validate", "test", "attention-stats"):
        # What an earlier command wrote is not there.
        written = [option for option in options if option == "nl.yaml" or option.startswith("runs/")]
        options = [str(NETWORK) if option in written and option.endswith(".yaml") else option for option in options]
        has_classes = any(option.startswith("--data.num_classes") for option in options)
        known = has_classes or any(re.search(r"configs/(kinetics|ssv|demo|\w+/)", option) for option in options)
        printed_config([command, *options, *([] if known else ["--data.num_classes=4"])], capsys)
    elif command in ("ablate", "report", "places", "demo-data"):
        check_parser(importlib.import_module(COMMANDS[command].module), options, capsys)
    else:  # those that read a checkpoint alone
        given = ["gone.ckpt" if option.endswith(".ckpt") else option for option in options]
        assert given != options
        assert main([command, *given]) == 1  # parsed, and stopped at the checkpoint
        assert "gone.ckpt: no such file" in capsys.readouterr().err


def check_script(arguments: list[str], capsys, monkeypatch) -> None:
    script = ROOT / arguments[0]
    monkeypatch.syspath_prepend(script.parent)  # as `python script` does
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    check_parser(module, arguments[1:], capsys)


def check_parser(module: ModuleType, arguments: list[str], capsys) -> None:
    options, overrides = module.build_parser().parse_known_args(arguments)
    if overrides:  # those of `nlvideo fit`, which tools/cost.py and `nlvideo ablate` take too
        configs = [argument for path in options.config for argument in ("-c", path)]
        printed_config(["fit", *configs, "--data.num_classes=2", *overrides], capsys)


@pytest.mark.parametrize("command", all_commands())
def test_every_documented_command_parses(command, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    program, *arguments = shlex.split(command)
    for argument in arguments:
        if argument.startswith("configs/"):
            assert Path(argument).exists(), argument
    if program == "nlvideo":
        check_nlvideo(arguments, capsys)
    elif program == "python" and arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1])
    elif program == "python":
        check_script(arguments, capsys, monkeypatch)
    else:
        assert program in ("bash", ".venv/bin/ruff")
        assert program != "bash" or Path(arguments[0]).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", linked.read_text(), flags=re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles], target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_snippet_runs(page):
    for snippet in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL):
        exec(snippet, {})


def test_the_readme_is_short_opens_with_the_two_commands_and_links_every_page():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) < 200
    opening = text.split("\n## ")[0]
    assert "bash tools/demo.sh" in opening
    assert "bash tools/test.sh" in opening
    for page in PAGES[1:]:
        assert f"({page.relative_to(ROOT)})" in text, page


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
