"""Our checkpoints are written, read, and refused with one line."""

from functools import partial

import pytest
import torch

import nlvideo
from nlvideo import checkpoint
from nlvideo.__main__ import main
from nlvideo.blocks import NonLocal
from nlvideo.data.transforms import normalize
from nlvideo.models import Insert, ResNet3d

PREPROCESSING = {
    "clip_frames": 4,
    "frame_interval": 2,
    "kind": "dense",
    "target_fps": None,
    "short_side": 32,
    "crop_size": 32,
    "mean": 0.45,
    "std": 0.225,
}


def narrow(**given) -> ResNet3d:
    return ResNet3d("c2d", [1, 1, 1, 1], 3, width=4, **given)


@pytest.fixture
def saved(tmp_path):
    """A network with blocks, all weights random, and its checkpoint."""
    torch.manual_seed(0)
    net = narrow(after=Insert(partial(NonLocal, pairwise="dot_product", init_scale=1.0), {"res3": 1}))
    for weight in net.state_dict().values():
        weight.copy_(torch.rand_like(weight.float()))
    net.class_names, net.preprocessing = ["a", "b", "c"], PREPROCESSING
    checkpoint.save(net, tmp_path / "last.ckpt")
    return net.eval(), tmp_path / "last.ckpt"


def test_load_rebuilds_the_network_from_the_file_alone(saved):
    net, path = saved
    loaded = nlvideo.load(path)
    video = torch.rand(2, 3, 4, 32, 32)
    assert not loaded.training
    torch.testing.assert_close(loaded(video), net(video), rtol=0, atol=0)
    assert loaded.class_names == ["a", "b", "c"]
    assert loaded.preprocessing == PREPROCESSING
    assert loaded.config() == net.config()


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    path = tmp_path / "evil.ckpt"
    torch.save({"nlvideo": Payload()}, path)
    with pytest.raises(ValueError, match="loaded safely"):
        checkpoint.read(path)
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2]])
def test_a_foreign_file_says_so(tmp_path, content):
    path = tmp_path / "foreign.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"foreign\.pth: not written by nlvideo"):
        checkpoint.read(path)


def change(path, edit) -> None:
    """Write a checkpoint again, after `edit` has changed its content."""
    content = torch.load(path, weights_only=True)
    edit(content)
    torch.save(content, path)


@pytest.mark.parametrize(
    ("written", "by"), [(1, "by an nlvideo before its first release in format 1"), (3, r"by nlvideo 9\.0 in format 3")]
)
def test_another_format_says_so(saved, written, by):
    change(saved[1], lambda content: content["nlvideo"].update(format=written, version="9.0"))
    with pytest.raises(ValueError, match=rf"{by}; this is nlvideo .* reads format 2: use the one that wrote it"):
        nlvideo.load(saved[1])


def test_an_option_that_is_no_more_says_so(saved):
    _, path = saved
    change(path, lambda content: content["nlvideo"]["net"]["init_args"].update(kernel_colour="red"))
    change(path, lambda content: content["nlvideo"].update(version="0.0.1"))
    with pytest.raises(ValueError, match=r"of nlvideo 0\.0\.1, cannot be built with nlvideo .*colour"):
        nlvideo.load(path)


DAMAGES = {
    "record is a list": (lambda content: content.update(nlvideo=[1]), "entry 'nlvideo' is no mapping"),
    "record is empty": (lambda content: content.update(nlvideo={}), "no int format, no str version, no dict net"),
    "format is text": (lambda content: content["nlvideo"].update(format="two"), "no int format"),
    "net is missing": (lambda content: content["nlvideo"].pop("net"), "no dict net"),
    "net is text": (lambda content: content["nlvideo"].update(net="ResNet3d"), "no dict net"),
    "net is empty": (lambda content: content["nlvideo"].update(net={}), "net: expected a mapping of class_path"),
    "crop is missing": (
        lambda content: content["nlvideo"]["preprocessing"].pop("crop_size"),
        "no valid preprocessing.crop",
    ),
    "crop is text": (lambda content: content["nlvideo"]["preprocessing"].update(crop_size="32"), "preprocessing.crop"),
    "two names": (lambda content: content["nlvideo"].update(class_names=["a", "b"]), "2 names for 3 classes"),
    "no weights": (lambda content: content.pop("state_dict"), "no state_dict of tensors"),
    "a weight is text": (lambda content: content["state_dict"].update({"net.x": "y"}), "no state_dict of tensors"),
    "a weight is missing": (lambda content: content["state_dict"].popitem(), "Missing key"),
    "depth is text": (lambda content: content["nlvideo"]["net"]["init_args"].update(depth="deep"), "cannot be built"),
    "width is a list": (lambda content: content["nlvideo"]["net"]["init_args"].update(width=[]), "cannot be built"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused_in_one_line(saved, damage, capsys):
    edit, words = DAMAGES[damage]
    change(saved[1], edit)
    assert main(["predict", "x.mp4", f"--ckpt_path={saved[1]}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"nlvideo: checkpoint {saved[1]}: ") and words in line


def test_a_truncated_file_is_refused_in_one_line(saved):
    _, path = saved
    content = path.read_bytes()
    for size in (0, 3, 10, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match="it is damaged, or holds more than") as refusal:
            nlvideo.load(path)
        assert "\n" not in str(refusal.value)


class Colour:
    pass


def test_a_refused_torch_file_does_not_advise_to_trust_it(tmp_path):
    for content in ({"nlvideo": Colour()}, {"nlvideo": Colour}, {"nlvideo": range(3)}):
        torch.save(content, tmp_path / "x.ckpt")
        with pytest.raises(ValueError, match="cannot be loaded safely") as refusal:
            nlvideo.load(tmp_path / "x.ckpt")
        for advice in ("weights_only", "add_safe_globals", "trust", "pytorch.org", "\n"):
            assert advice not in str(refusal.value)


def test_a_checkpoint_in_a_read_only_folder_is_read(saved):
    """Nothing is written beside it."""
    net, path = saved
    before = list(path.parent.iterdir())
    path.parent.chmod(0o555)
    try:
        assert nlvideo.load(path).config() == net.config()
    finally:
        path.parent.chmod(0o755)
    assert list(path.parent.iterdir()) == before


def test_normalise_takes_a_number_or_one_a_channel():
    video = torch.randint(0, 256, (2, 3, 4, 5, 6), dtype=torch.uint8)
    mean, std = [0.1, 0.2, 0.3], [1.0, 2.0, 4.0]
    expected = torch.stack([(video[:, c] / 255 - mean[c]) / std[c] for c in range(3)], 1)
    torch.testing.assert_close(normalize(video, mean, std), expected)
    torch.testing.assert_close(normalize(video, 0.45, 0.225), (video / 255 - 0.45) / 0.225)
    with pytest.raises(ValueError, match="one for each of 3 channels"):
        normalize(video, [0.1], 0.2)


def test_another_network_names_what_differs(saved, tmp_path):
    net, path = saved
    other = narrow(after=Insert(partial(NonLocal, pairwise="gaussian", init_scale=1.0), {"res3": 1}))
    with pytest.raises(
        ValueError, match=r"after\.main\.block\.pairwise is dot_product there and gaussian here.*init_from"
    ):
        checkpoint.check_same_network(other, checkpoint.read(path), path)
    checkpoint.check_same_network(net, checkpoint.read(path), path)
