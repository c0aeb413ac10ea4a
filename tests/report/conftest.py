"""A tested run, and pages that are looked at."""

import shutil
from pathlib import Path

import pytest

from nlvideo.__main__ import main


@pytest.fixture(scope="package")
def tested(trained, tmp_path_factory) -> Path:
    """Folder of the trained run, tested at video level."""
    folder = shutil.copytree(trained, tmp_path_factory.mktemp("tested") / "nl")
    arguments = ["-c", str(folder / "config.yaml"), f"--ckpt_path={folder / 'last.ckpt'}"]
    assert main(["test", *arguments]) == 0
    return folder


@pytest.fixture(scope="package")
def page_of_run(tested, tmp_path_factory) -> Path:
    page = tmp_path_factory.mktemp("pages") / "run.html"
    assert main(["report", str(tested), "-o", str(page)]) == 0
    return page
