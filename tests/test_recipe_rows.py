"""A recipe of a paper or a model zoo is its source's training and test, and what its header says, and nothing else."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from torchvision.models import get_model_weights

CONFIGS = Path(__file__).parents[1] / "configs"
OURS = ("nln", "paper", "slowfast", "mmaction2")  # rows of ResNet3d
LIBRARIES = ("pytorchvideo", "torchvision")  # rows of AnyModel
ROWS, RELATIVES = (
    sorted(path for folder in folders for path in (CONFIGS / folder).glob("*.yaml")) for folders in (OURS, LIBRARIES)
)

SGD = {"name": "sgd", "momentum": 0.9, "weight_decay": 1e-4, "decay_biases": True}
KINETICS = {"num_classes": 400, "train": "data/kinetics400/train.csv", "val": "data/kinetics400/val.csv"}

# The parts of a recipe that a source shares among its rows. What is not named is the library's default.
NLN = {
    "model": {
        "net": {"pool1": "unpadded"},
        "optimizer": {**SGD, "lr": 0.01, "base_batch": 64},
        "schedule": {"name": "steps", "unit": "steps", "milestones": [150000, 300000]},
        "precise_bn": 200,
    },
    "data": {**KINETICS, "protocol": "nln", "batch_size": 8},
    "trainer": {"max_steps": 400000},
}
SLOWFAST = {
    "model": {"net": {"pool1": "padded"}, "optimizer": {**SGD, "base_batch": 64}, "precise_bn": 200},
    "data": {**KINETICS, "target_fps": 30, "protocol": "slowfast", "batch_size": 8},
    "trainer": {},
}
MMACTION = {
    "model": {
        "net": {"pool1": "padded", "zero_init_residual": False},
        "optimizer": {**SGD, "lr": 0.01, "base_batch": 64, "nesterov": False, "decay_norms": True},
        "schedule": {"name": "steps", "milestones": [40, 80]},
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
    "data": {**KINETICS, "protocol": "mmaction", "batch_size": 8},
    "trainer": {"max_epochs": 100, "gradient_clip_val": 40},
}
FAMILIES = {"nln": NLN, "paper": NLN, "slowfast": SLOWFAST, "mmaction2": MMACTION}
COSINE = {"name": "cosine", "warmup": 34, "warmup_start": 0.1, "cosine_after_warmup": False}
PYTORCHVIDEO = {
    "model": {"optimizer": {**SGD, "lr": 0.1, "base_batch": 64}, "schedule": COSINE, "precise_bn": 200},
    "data": {**KINETICS, "target_fps": 30, "protocol": "uniform", "num_clips": 10, "num_crops": 3, "batch_size": 8},
    "trainer": {"max_epochs": 196},
}
TORCHVISION = {
    "model": {
        "optimizer": {**SGD, "nesterov": False, "decay_norms": True},
        "schedule": {"name": "steps", "milestones": [100, 150, 200], "warmup": 50, "warmup_start": 0.001},
        "mean": [0.43216, 0.394666, 0.37645],
        "std": [0.22803, 0.22145, 0.216989],
    },
    "data": {**KINETICS, "target_fps": 15, "frame_interval": 1, "num_crops": 1},
    "trainer": {"max_epochs": 225},
}
# What a row's header calls its network, and the callable that makes it.
MODELS = {
    "Slow ResNet-50": "pytorchvideo.models.hub.slow_r50",
    "SlowFast ResNet-50": "pytorchvideo.models.hub.slowfast_r50",
    "R(2+1)D ResNet-50": "pytorchvideo.models.hub.r2plus1d_r50",
    "CSN ResNet-101": "pytorchvideo.models.hub.csn_r101",
    "X3D-S": "pytorchvideo.models.hub.x3d_s",
    "R3D-18": "torchvision.models.video.r3d_18",
    "MC3-18": "torchvision.models.video.mc3_18",
    "R(2+1)D-18": "torchvision.models.video.r2plus1d_18",
    "S3D": "torchvision.models.video.s3d",
}


def said_in(header: str, family: str) -> dict[str, Any]:
    """Return what a header's words change, as a nested configuration."""
    network, _ = header.split(" Source: ")
    net: dict[str, Any] = {"arch": re.search(r"C2D|I3D 3x3x3|I3D", network)[0].lower().replace(" ", "_")}
    changes: dict[str, Any] = {"model": {"net": net}, "data": {}, "trainer": {}}
    net["depth"] = int(re.search(r"ResNet-(\d+)", network)[1])
    number = {"one": "nl1", "five": "nl5", "ten": "nl10"}
    blocks = re.search(r"(one|five|ten) non-local block", network)
    block: dict[str, Any] = {"class_path": "NonLocal"}
    net["after"] = {"block": block, "at": number[blocks[1]] if blocks else "none"}

    if pairwise := re.search(r"embedded gaussian|gaussian|dot product", network):
        block["init_args"] = {"pairwise": pairwise[0].replace(" ", "_"), "pool_after_projection": True, "bias": False}
        if pairwise[0] == "embedded gaussian":
            block["init_args"]["scale"] = False
        net["after"]["at"] = "nl5"

    if frames := re.search(r"(\d+) frames, (?:every (\d+)|all in a row)", network):
        length, interval = int(frames[1]), int(frames[2] or 1)
        changes["data"] |= {"clip_frames": length, "frame_interval": interval}
        # The paper's own forms halve time in conv1 and in pool1; the sparser ones of its code do not.
        net["temporal_stride"] = 4 if (length, interval) in ((32, 2), (128, 1)) else 1
    if "frozen scales and shifts" in header:
        net["freeze_bn"] = "affine"
        changes["model"] |= {"optimizer": {"lr": 0.0025, "base_batch": 16}, "precise_bn": None}
        changes["data"]["batch_size"] = 2
        if blocks:
            in_groups = {**block, "init_args": {"temporal_groups": 4, "norm": "none"}}
            net["after"] = {
                "in_groups": {"block": in_groups, "at": {"res3": [1, 3]}},
                "whole_clip": {"block": {**block, "init_args": {"norm": "none"}}, "at": {"res4": [1, 3, 5]}},
            }
    if family == "slowfast" and "from scratch" in network:
        cosine = {"name": "cosine", "warmup": 34, "warmup_start": 0.1, "cosine_after_warmup": False}
        changes["model"] |= {"optimizer": {"lr": 0.1}, "schedule": cosine}
        changes["trainer"] = {"max_epochs": 196}
    elif family == "slowfast" and "from ImageNet" in network:
        changes["model"] |= {"optimizer": {"lr": 0.01}, "schedule": {"name": "steps", "milestones": [44, 88]}}
        changes["trainer"] = {"max_epochs": 118}
    elif family == "slowfast":
        assert "Something-Something v2, one frame of each of 8 parts" in network
        net["temporal_stride"] = 1
        steps = {"name": "steps", "milestones": [14, 18], "warmup": 0.19, "warmup_start": 0.00333}
        changes["model"] |= {"optimizer": {"lr": 0.03, "base_batch": 16, "weight_decay": 1e-6}, "schedule": steps}
        changes["data"] = {"num_classes": 174, "train": "data/ssv2/train.csv", "val": "data/ssv2/val.csv"}
        changes["data"] |= {"clip_frames": 8, "sampling": "segments", "flip": False, "batch_size": 2}
        changes["data"] |= {"augment": {"inverse_jitter": True}, "num_clips": 1, "num_crops": 1}
        changes["data"] |= {"target_fps": None, "protocol": None}
        changes["trainer"] = {"max_epochs": 22, "sync_batchnorm": True}
    return changes


def said_of_a_relative(header: str, family: str) -> dict[str, Any]:
    """Return what the header of a library's network changes, as a nested configuration."""
    network, frames = re.match(r"(.*?), (\d+) frames", header).groups()
    net: dict[str, Any] = {"model": MODELS[network], "after": {"block": {"class_path": "NonLocal"}, "at": "none"}}
    changes: dict[str, Any] = {"model": {"net": net}, "data": {"clip_frames": int(frames)}, "trainer": {}}
    size = int(re.search(r"GMACs a clip at (\d+)", header)[1])
    if family == "pytorchvideo":
        changes["data"]["frame_interval"] = int(re.search(r"frames, every (\d+)", header)[1])
        if fraction := re.search(r"every (\d+)(?:nd|rd|th) of them for the slow pathway", header):
            net["alpha"] = int(fraction[1])
        if size != 224:  # X3D
            changes["model"] |= {"optimizer": {"base_batch": 128, "weight_decay": 5e-5}, "schedule": {"warmup": 35}}
            jitter = {"short_side": [182, 228], "crop_size": size, "eval_short_side": 182, "test_crop_size": 182}
            changes["data"] |= {**jitter, "batch_size": 16}
            changes["trainer"] = {"max_epochs": 300}
        return changes
    batch, side, lr = (12, 256, 0.2) if network == "S3D" else (24, 128, 0.64)
    clips = int(re.search(r"Kinetics-400, (\d) clips?", header)[1])
    changes["model"]["optimizer"] = {"lr": lr, "base_batch": 64 * batch}
    changes["data"] |= {"short_side": [side, side], "eval_short_side": side, "crop_size": size, "test_crop_size": size}
    changes["data"] |= {"batch_size": batch, "num_clips": clips}
    if "synchronised" in header:
        changes["trainer"] = {"sync_batchnorm": True}
    return changes


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes` laid over it; None takes a key away."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        else:
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


@pytest.mark.parametrize("path", ROWS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_row_differs_from_its_family_only_in_what_its_header_says(path):
    text = path.read_text()
    header, family, given = header_of(text), path.parent.name, yaml.safe_load(text)
    node = given["model"]["net"]
    assert node["class_path"] == "ResNet3d"
    given["model"]["net"] = node["init_args"]
    assert given == merged(FAMILIES[family], said_in(header, family))


@pytest.mark.parametrize("path", RELATIVES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_row_of_a_library_is_its_recipe_and_what_its_header_says(path):
    text = path.read_text()
    header, family, given = header_of(text), path.parent.name, yaml.safe_load(text)
    node = given["model"]["net"]
    assert node["class_path"] == "AnyModel"
    given["model"]["net"] = node["init_args"]
    base = {"pytorchvideo": PYTORCHVIDEO, "torchvision": TORCHVISION}[family]
    assert given == merged(base, said_of_a_relative(header, family))


@pytest.mark.parametrize("path", sorted((CONFIGS / "torchvision").glob("*.yaml")), ids=lambda path: path.name)
def test_a_row_of_torchvision_says_what_its_weights_say(path):
    meta = get_model_weights(path.stem).KINETICS400_V1.meta
    published = meta["_metrics"]["Kinetics-400"]
    header = header_of(path.read_text())
    assert f"top-1 {published['acc@1']:.2f}, top-5 {published['acc@5']:.2f}" in header
    clips, length = re.search(r"clips_per_video=(\d+)`?,? and `clip_len=(\d+)", meta["_docs"]).groups()
    assert re.search(rf"Kinetics-400, {clips} clips? of {length} frames", header)


def header_of(text: str) -> str:
    return " ".join(line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#"))


def test_there_is_a_row_for_each_family():
    assert {path.parent.name for path in ROWS} == set(FAMILIES)
    assert len(ROWS) == 30
    networks = [yaml.safe_load(path.read_text())["model"]["net"]["init_args"]["model"] for path in RELATIVES]
    assert sorted(networks) == sorted(MODELS.values())


@pytest.mark.parametrize("name", ["kinetics600", "kinetics700"])
def test_larger_kinetics_are_data_only(name):
    """They go behind a file that has a recipe, and leave it as it is."""
    content = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    assert content.keys() == {"data"}
    assert content["data"].keys() == {"num_classes", "train", "val"}


def test_kinetics400_is_slowfast_s_recipe_with_the_papers_test():
    given = yaml.safe_load((CONFIGS / "kinetics400.yaml").read_text())
    row = yaml.safe_load((CONFIGS / "slowfast" / "i3d_r50_8x8.yaml").read_text())
    for key in ("optimizer", "schedule", "precise_bn"):
        assert given["model"][key] == row["model"][key]
    assert given["trainer"] == row["trainer"]
    assert given["data"]["batch_size"] == row["data"]["batch_size"]
    assert given["data"]["protocol"] == "nln"


def test_something_something_is_slowfast_s_recipe():
    row = yaml.safe_load((CONFIGS / "slowfast" / "nl_i3d_r50_ssv2.yaml").read_text())
    for name in ("ssv1", "ssv2"):
        given = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
        for key in ("optimizer", "schedule", "precise_bn"):
            assert given["model"][key] == row["model"][key]
        assert given["trainer"] == row["trainer"]
        assert not given["data"]["flip"]
        assert given["data"]["sampling"] == "segments"
