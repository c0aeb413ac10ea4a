"""Who may import whom: the rule that keeps each room understandable on its own."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "nlvideo"
STANDARD = sys.stdlib_module_names

# Room -> what it may import: its own room, the standard library's and these.
ALLOWED = {
    "ops": {"torch"},
    "blocks": {"torch", "nlvideo.ops"},
    "models": {
        *("torch", "torchvision", "pytorchvideo", "nlvideo.blocks", "nlvideo.ops", "nlvideo.suggest"),
        "nlvideo.user_modules",
    },
    "data": {"torch", "torchvision", "lightning", "numpy", "nlvideo.files"},
    "data/video": {"torch", "numpy", "PIL", "av", "decord", "torchcodec"},
    "data/prepare": {"torch", "numpy", "av", "nlvideo.data", "nlvideo.files"},
    "analysis": {
        *("torch", "numpy", "pandas", "matplotlib", "lightning", "pyarrow", "rich"),
        *("nlvideo.console", "nlvideo.figure", "nlvideo.tables"),
        *("nlvideo.blocks", "nlvideo.data", "nlvideo.models", "nlvideo.evaluation", "nlvideo.files"),
    },
    "checkpoint": {
        *("torch", "lightning", "numpy", "jsonargparse", "safetensors", "yaml"),
        *("nlvideo.models", "nlvideo.blocks", "nlvideo.ops", "nlvideo.files", "nlvideo.user_modules"),
    },
    "cost": {"torch", "rich", "nlvideo.models", "nlvideo.blocks", "nlvideo.ops", "nlvideo.checkpoint"},
    "evaluation": {
        *("torch", "lightning", "numpy", "scipy", "pandas", "pyarrow", "matplotlib", "rich"),
        *("nlvideo.data", "nlvideo.models", "nlvideo.cost", "nlvideo.console", "nlvideo.environment"),
        *("nlvideo.files", "nlvideo.figure", "nlvideo.tables"),
    },
    "training": {
        *("torch", "torchvision", "torchmetrics", "lightning", "fvcore", "jsonargparse", "filelock", "numpy", "pandas"),
        *("matplotlib", "rich", "yaml", "nlvideo.data", "nlvideo.models", "nlvideo.checkpoint", "nlvideo.cost"),
        *("nlvideo.evaluation", "nlvideo.console", "nlvideo.environment", "nlvideo.files", "nlvideo.figure"),
        "nlvideo.exit_codes",
    },
    "report": {
        *("numpy", "pandas", "bokeh", "jinja2", "markupsafe", "matplotlib", "PIL", "yaml"),
        *("nlvideo.ablation.tables", "nlvideo.ablation.control_tables"),
        *("nlvideo.analysis", "nlvideo.checkpoint", "nlvideo.data", "nlvideo.evaluation", "nlvideo.models"),
    },
    "visitors": {"numpy", "matplotlib", "nlvideo.data.prepare"},
}


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def is_allowed(name: str, allowed: set[str]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in allowed)


def is_inner_room(room: str, file: Path) -> bool:
    """Whether a file belongs to a room within this one, with a rule of its own."""
    parent = str(file.parent.relative_to(PACKAGE))
    return parent != room and parent in ALLOWED


@pytest.mark.parametrize("room", ALLOWED)
def test_room_imports_only_what_it_may(room):
    files = [file for file in (PACKAGE / room).rglob("*.py") if not is_inner_room(room, file)]
    assert files
    foreign = {
        f"{file.name}: {name}"
        for file in files
        for name in imports(file)
        if name.partition(".")[0] not in STANDARD
        and name != "nlvideo"  # for its version
        and not is_allowed(name, {f"nlvideo.{room.replace('/', '.')}", *ALLOWED[room]})
    }
    assert not foreign


def test_wandb_is_named_in_yaml_only():
    assert not [file for file in PACKAGE.rglob("*.py") if any(name.startswith("wandb") for name in imports(file))]


def test_decord_is_imported_in_one_place():
    assert [file.name for file in PACKAGE.rglob("*.py") if "decord" in imports(file)] == ["decord.py"]
