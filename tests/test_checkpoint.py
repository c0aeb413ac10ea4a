from functools import partial

import pytest
import torch

import nlvideo
from nlvideo import checkpoint
from nlvideo.blocks import NonLocal
from nlvideo.models import Insert, ResNet3d

PREPROCESSING = {"clip_frames": 4, "stride": 2, "short_side": 32, "crop_size": 32, "mean": 0.45, "std": 0.225}


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


def test_init_from_loads_what_fits_and_says_what_does_not(saved):
    net, path = saved
    other = ResNet3d("c2d", [1, 1, 1, 1], 5, width=4, after=Insert(NonLocal, {"res4": 1}))
    summary = checkpoint.init_from(other, path)
    torch.testing.assert_close(other.blocks[0].conv.weight, net.blocks[0].conv.weight)
    # Not used: the block after res3 (9 convolution tensors less norm statistics and so on) and the old classifier.
    unused = {name for name in net.state_dict() if ".after." in name} | {"blocks.6.proj.weight", "blocks.6.proj.bias"}
    assert f"{len(net.state_dict()) - len(unused)} tensors loaded" in summary
    assert f"{len(unused)} not used" in summary


def test_init_from_another_kind_of_network_is_an_error(saved):
    _, path = saved
    with pytest.raises(ValueError, match="no weight has a name and shape"):
        checkpoint.init_from(torch.nn.Linear(2, 2), path)


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    path = tmp_path / "evil.ckpt"
    torch.save({"nlvideo": Payload()}, path)
    with pytest.raises(ValueError, match="load safely"):
        checkpoint.read(path)
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2]])
def test_a_foreign_file_says_so(tmp_path, content):
    path = tmp_path / "foreign.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"foreign\.pth: not written by nlvideo"):
        checkpoint.read(path)


def test_another_network_names_what_differs(saved, tmp_path):
    net, path = saved
    other = narrow(after=Insert(partial(NonLocal, pairwise="gaussian", init_scale=1.0), {"res3": 1}))
    with pytest.raises(ValueError, match=r"after\.block\.pairwise is dot_product there and gaussian here.*init_from"):
        checkpoint.check_same_network(other, checkpoint.read(path), path)
    checkpoint.check_same_network(net, checkpoint.read(path), path)
