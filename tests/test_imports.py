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
    "models": {"torch", "pytorchvideo", "nlvideo.blocks"},
    "data": {
        "torch",
        "torchvision",
        "lightning",
        "numpy",
        "pandas",
        "av",
        "matplotlib",
        "PIL",
        "sklearn",
        "nlvideo.files",
    },
    "metrics": {"numpy"},
    "evaluation/voting": {"torch", "numpy", "nlvideo.models", "nlvideo.data", "nlvideo.metrics", "nlvideo.checkpoint"},
    "training/optim": {"torch"},
    "training/precise_bn": {"torch", "fvcore", "lightning"},
    "endings": {"lightning"},
    "training/epoch_means": {"torch", "lightning"},
    "training/guards": {"torch", "lightning", "nlvideo.training.optim"},
    "training/keeping": {"torch", "lightning", "nlvideo.endings", "nlvideo.files", "nlvideo.training.guards"},
    "training/resuming": {"nlvideo.checkpoint", "nlvideo.endings"},
    "training/sharding": {"torch", "lightning", "nlvideo.checkpoint", "nlvideo.models"},
    "training/sync_bn": {"torch", "lightning"},
    "cost": {"torch", "nlvideo.ops", "nlvideo.blocks"},
    "task": {
        "torch",
        "lightning",
        "nlvideo.models",
        "nlvideo.evaluation",
        "nlvideo.data.footage",
        "nlvideo.training.optim",
        "nlvideo.checkpoint",
        "nlvideo.training.precise_bn",
        "nlvideo.training.sharding",
    },
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


@pytest.mark.parametrize("room", ALLOWED)
def test_room_imports_only_what_it_may(room):
    files = [PACKAGE / f"{room}.py"] if (PACKAGE / f"{room}.py").is_file() else list((PACKAGE / room).rglob("*.py"))
    assert files
    foreign = {
        f"{file.name}: {name}"
        for file in files
        for name in imports(file)
        if name.partition(".")[0] not in STANDARD
        and not is_allowed(name, {f"nlvideo.{room.replace('/', '.')}", *ALLOWED[room]})
    }
    if room == "data":
        foreign -= {"decode.py: decord"}
    assert not foreign


def test_wandb_is_named_in_yaml_only():
    assert not [file for file in PACKAGE.rglob("*.py") if any(name.startswith("wandb") for name in imports(file))]


def test_decord_is_imported_in_one_place():
    assert [file.name for file in PACKAGE.rglob("*.py") if "decord" in imports(file)] == ["decode.py"]
