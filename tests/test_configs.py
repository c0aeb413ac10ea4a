"""Every recipe trains: two steps and a validation on real videos, by the command at its head, with a network a
sixteenth as wide."""

import json
import re
import shlex
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from nlvideo.__main__ import main
from nlvideo.checkpoint import build
from nlvideo.configuration import configuration
from nlvideo.cost.count import count_cost
from nlvideo.training import run_folder as run_module

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
FILES = sorted(
    path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml") if "ablations" not in path.parts
)
ROWS = [file for file in FILES if "/" in file]  # of a paper or a model zoo
LIBRARIES = ("pytorchvideo/", "torchvision/")  # rows of AnyModel
# Two of them train; the others are built and counted.
SMALL = {
    "pytorchvideo/slow_r50_8x8.yaml": {
        "model.net.kwargs": "{stem_dim_out: 4}",
        "data.short_side": "[224, 224]",
        "data.eval_short_side": 224,
        "data.crop_size": 224,  # its head has a window of 7 x 7
    },
    "torchvision/mc3_18.yaml": {},
}
UNTRAINED = {row for row in ROWS if row.startswith(LIBRARIES) and row not in SMALL}
FIRST = "nln/i3d_r50_8x8.yaml"  # what the long clips' recipes start from


def head(config: str) -> str:
    """The comment that opens a file, as running text."""
    lines = (CONFIGS / config).read_text().splitlines()
    comment = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    return "\n".join(comment)


def arguments(config: str) -> list[str]:
    """Of the first `nlvideo fit` at its head; a file of data alone gets a network, a network alone some data."""
    command = re.search(r"nlvideo fit (.*?)(  |$)", head(config), flags=re.MULTILINE)
    given = shlex.split(command[1]) if command else ["-c", f"configs/{config}"]
    assert f"configs/{config}" in given
    return given


@pytest.fixture(scope="module")
def smoke(visitors, tmp_path_factory):
    """smoke(config, *overrides): two steps of a file of configs/; the folder of the run."""
    runs = tmp_path_factory.mktemp("runs")

    def run(config: str, *overrides: str) -> Path:
        content = yaml.safe_load((CONFIGS / config).read_text())
        small = {
            **({} if config.startswith(LIBRARIES) else {"model.net.width": 4}),
            "model.precise_bn": min(content.get("model", {}).get("precise_bn", 0), 2),
            "model.init_from": "null",
            "data.num_classes": 4,
            "data.train": visitors / "train.csv",
            "data.val": visitors / "val.csv",
            # The longest clips' network compares an eighth as many frames, in four groups.
            "data.clip_frames": 32 if content["data"].get("clip_frames") == 128 else 8,
            "data.frame_interval": 1,
            "data.short_side": "null",
            "data.eval_short_side": "null",
            "data.crop_size": 32,
            "data.batch_size": 2,
            "data.num_workers": 0,
            "trainer.max_steps": 2,
            "trainer.limit_val_batches": 1,
            "trainer.num_sanity_val_steps": 0,
            "trainer.log_every_n_steps": 1,
            "runs_dir": runs,
            "name": config.removesuffix(".yaml").replace("/", "-"),
            **SMALL.get(config, {}),
        }
        assert main(["fit", *arguments(config), *(f"--{key}={value}" for key, value in small.items()), *overrides]) == 0
        return runs / small["name"]

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(run_module, "stage_table", lambda spec: "")  # it takes longer than the two steps
        yield run


@pytest.fixture(scope="module")
def trained(smoke):
    return smoke(FIRST) / "last.ckpt"


@pytest.mark.parametrize("config", [*(file for file in FILES if file != FIRST and file not in UNTRAINED)])
def test_a_recipe_trains(config, smoke, request):
    affine = "freeze_bn: affine" in (CONFIGS / config).read_text()
    start = [f"--model.init_from={request.getfixturevalue('trained')}"] if affine else []
    run = smoke(config, *start)
    assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == 2
    losses = pd.read_csv(run / "metrics.csv")["train/loss_step"].dropna()
    assert len(losses) == 2
    assert (losses > 0).all()


@cache
def count(net: str, clip: tuple[int, int, int]) -> tuple[float, float]:
    """Million parameters and GMACs of a network, given as JSON; several rows have the same."""
    with torch.device("meta"):
        built = build(json.loads(net))
    params = sum(parameter.numel() for parameter in built.parameters()) / 1e6
    return params, count_cost(built, clip).gmacs


@pytest.mark.parametrize("config", ROWS)
def test_a_row_tells_its_source_and_numbers(config):
    """The same in the file, in the table of docs/training.md and in the network itself."""
    content = configuration(["-c", str(CONFIGS / config)])
    told = " ".join(head(config).split())
    side = content["data"]["crop_size"]
    params, gmacs = count(json.dumps(content["model"]["net"]), (content["data"]["clip_frames"], side, side))
    (row,) = [line for line in (ROOT / "docs" / "training.md").read_text().splitlines() if f"`{config}`" in line]
    assert "Source: " in told
    (published,) = re.findall(r"Published.*?: (.*?)\. ", told)
    assert f"{params:.2f} M parameters" in told
    assert f"{gmacs:.2f} GMACs a clip at {side}" in told
    assert f"| {params:.2f} | {gmacs:.2f} |" in row
    assert (" / ".join(re.findall(r"\d\d\.\d+", published)) or "none published") in row
    num_gpus = 64 if config.startswith("torchvision/") else 8  # of the source
    assert content["model"]["optimizer"]["base_batch"] == num_gpus * content["data"]["batch_size"]
