"""A wheel holds all that nlvideo needs outside of a checkout: its commands and its recipes."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.version import Version

from nlvideo import recipes
from nlvideo.recipes_cli import main

ROOT = Path(__file__).parents[1]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Folder with the contents of the wheel, as pip would lay them out."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # A build leaves files behind: in a copy.
    for name in ("nlvideo", "configs"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-c", BUILD, folder], cwd=source, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def files_of(folder: Path) -> set[str]:
    files = [file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    return {file.relative_to(folder).as_posix() for file in files}


def test_the_wheel_holds_every_file_of_the_package_and_every_recipe(installed):
    inside = files_of(installed / "nlvideo")
    packaged = files_of(ROOT / "nlvideo") | {f"configs/{file}" for file in files_of(ROOT / "configs")}
    assert inside == packaged
    assert "nlvideo = nlvideo.__main__:main" in next(installed.glob("*.dist-info/entry_points.txt")).read_text()


def test_an_installed_nlvideo_finds_its_recipes_by_name(installed, tmp_path):
    def python(*arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(installed)}
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout

    assert python("-c", "import nlvideo; print(nlvideo.__file__)").startswith(str(installed))
    assert python("-m", "nlvideo", "recipes", "demo") == (ROOT / "configs" / "demo.yaml").read_text()
    # No training waits for what only reports need.
    late = "not {'pandas', 'bokeh', 'wandb', 'onnx'} & sys.modules.keys()"
    code = f"import sys\nfrom nlvideo.__main__ import main\ntry:\n main(sys.argv[1:])\nfinally:\n assert {late}"
    config = yaml.safe_load(python("-c", code, "fit", "-c", "nln/nl_i3d_r50_8x8", "--print_config"))
    assert config["model"]["net"]["init_args"]["arch"] == "i3d"
    assert config["data"]["num_classes"] == 400


def test_the_lowest_versions_are_those_that_are_pinned_for_the_test_of_them():
    pyproject, pins = (ROOT / name for name in ("pyproject.toml", "constraints-lowest.txt"))
    needed = re.findall(r'"([\w.-]+)(?:\[[\w,-]+\])?>=([\w.]+)', pyproject.read_text())
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", pins.read_text(), flags=re.MULTILINE))
    lowest = {
        name: version for name, version in needed if name not in ("decord2", "torchcodec")
    }  # not on every machine
    assert pinned.keys() == lowest.keys()
    for name, version in lowest.items():
        assert Version(pinned[name]) == Version(version), name


def test_a_file_of_the_user_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packaged = str(recipes.FOLDER / "demo.yaml")
    assert recipes.find_all(["fit", "-c", "demo", "--config=configs/demo.yaml", "--name", "demo"]) == [
        *("fit", "-c", packaged, f"--config={packaged}", "--name", "demo")
    ]
    Path("demo.yaml").write_text("data: {}")
    assert recipes.find("demo.yaml") == "demo.yaml"
    assert recipes.find("ablations/demo") == str(recipes.FOLDER / "ablations" / "demo")
    assert recipes.find("gone") == "gone"


def test_the_list_has_every_recipe_with_its_numbers(capsys):
    main([])
    shown = capsys.readouterr().out
    assert all(f"{name} " in shown for name in recipes.names())
    (row,) = [recipe for recipe in recipes.recipes() if recipe.name == "nln/nl_i3d_r50_8x8"]
    assert row[1:] == (
        *(
            "NL I3D ResNet-50, 8 frames, every 8th, five non-local blocks",
            "35.40",
            "36.38",
            "top-1 74.7",
            "Kinetics-400",
        ),
    )
    assert "ablations/demo/stage" in shown


def test_an_unknown_recipe_names_those_that_may_be_meant(capsys):
    with pytest.raises(ValueError, match=r"did you mean nln/nl_i3d_r50_8x8 or slowfast/nl_i3d_r50_8x8\?"):
        main(["nl_i3d_r50_8x8"])
