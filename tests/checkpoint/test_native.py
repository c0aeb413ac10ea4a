from functools import partial

import pytest
import torch

import nlvideo
from nlvideo import checkpoint
from nlvideo.blocks import NonLocal
from nlvideo.data.transforms import normalize
from nlvideo.models import Insert, ResNet3d

PREPROCESSING = {"clip_frames": 4, "frame_interval": 2, "short_side": 32, "crop_size": 32, "mean": 0.45, "std": 0.225}


def narrow(**given) -> ResNet3d:
    return ResNet3d("c2d", [1, 1, 1, 1], 3, width=4, **given)


@pytest.fixture
def saved(tmp_path):
    """A network with blocks, all weights random, and its checkpoint."""
    torch.manual_seed(0)
    net = narrow(after=Insert(partial(NonLocal, pairwise="dot_product", init_scale=1.0), {"res3": 1}))
    for weight in net.state_dict().values():
        weight.copy_(torch.rand_like(weight.float()))
    path = tmp_path / "last.ckpt"
    torch.save(
        {
            "state_dict": {f"net.{name}": weight for name, weight in net.state_dict().items()},
            "nlvideo": checkpoint.record(net, class_names=["a", "b", "c"], preprocessing=PREPROCESSING, run_config={}),
        },
        path,
    )
    return net.eval(), path


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


def test_a_later_format_says_which_nlvideo_reads_it(saved):
    _, path = saved
    content = torch.load(path, weights_only=True)
    content["nlvideo"] |= {"format": 2, "version": "9.0"}
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"written by nlvideo 9\.0 in format 2.* reads format 1; use nlvideo 9\.0"):
        nlvideo.load(path)


def test_a_network_of_an_old_version_says_so(saved):
    _, path = saved
    content = torch.load(path, weights_only=True)
    content["nlvideo"]["net"]["init_args"]["kernel_colour"] = "red"  # an option that is no more
    content["nlvideo"]["version"] = "0.0.1"
    torch.save(content, path)
    with pytest.raises(
        ValueError, match=r"written by nlvideo 0\.0\.1, .* cannot be built .* use nlvideo 0\.0\.1 .*colour"
    ):
        nlvideo.load(path)


def test_save_is_the_way_back_from_load(saved, tmp_path):
    _, path = saved
    net = nlvideo.load(path)
    checkpoint.save(net, tmp_path / "again.ckpt")
    again = nlvideo.load(tmp_path / "again.ckpt")
    video = torch.rand(1, 3, 4, 32, 32)
    torch.testing.assert_close(again(video), net(video), rtol=0, atol=0)
    assert (again.class_names, again.preprocessing) == (net.class_names, net.preprocessing)


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
    with pytest.raises(ValueError, match=r"after\.block\.pairwise is dot_product there and gaussian here.*init_from"):
        checkpoint.check_same_network(other, checkpoint.read(path), path)
    checkpoint.check_same_network(net, checkpoint.read(path), path)
