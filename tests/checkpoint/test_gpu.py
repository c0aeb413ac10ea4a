"""Checkpoints, exported networks and inference copies on a CUDA device."""

from functools import partial

import pytest
import torch

import nlvideo
from nlvideo.blocks import NonLocal
from nlvideo.checkpoint import init_from, save
from nlvideo.checkpoint.export import export
from nlvideo.models import Insert, ResNet3d
from nlvideo.models.inference import inference_copy
from nlvideo.ops import PAIRWISE

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def make(pairwise="embedded_gaussian") -> ResNet3d:
    torch.manual_seed(0)
    block = partial(NonLocal, pairwise=pairwise, init_scale=1.0)
    net = ResNet3d("i3d", [1, 1, 1, 1], 5, width=8, after=Insert(block, {"res3": 1}))
    net.class_names = list("abcde")
    net.preprocessing = {
        **dict.fromkeys(("clip_frames", "frame_interval"), 8),
        **dict.fromkeys(("short_side", "crop_size"), 64),
        "kind": "dense",
        "target_fps": None,
        "mean": 0.45,
        "std": 0.225,
    }
    return net.eval()


@pytest.fixture
def clip():
    return torch.randn(2, 3, 8, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def full_float32():
    """No TF32: numbers of CPU and GPU are compared."""
    matmul, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.set_float32_matmul_precision(matmul)
    torch.backends.cudnn.allow_tf32 = cudnn


def test_a_checkpoint_of_a_network_on_the_device_is_read_on_the_cpu(clip, tmp_path):
    net = make().cuda()
    save(net, tmp_path / "x.ckpt")
    loaded = nlvideo.load(tmp_path / "x.ckpt")
    assert {weight.device.type for weight in loaded.state_dict().values()} == {"cpu"}
    with torch.no_grad():
        torch.testing.assert_close(loaded(clip), net(clip.cuda()).cpu(), rtol=1e-3, atol=1e-3)
    other = make("dot_product").cuda()
    init_from(other, tmp_path / "x.ckpt")
    assert torch.equal(other.blocks[0].conv.weight, net.blocks[0].conv.weight)


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_an_inference_copy_scores_as_on_the_cpu(pairwise, dtype, clip):
    net = make(pairwise)
    with torch.inference_mode():
        expected = net.scores(clip)
        scores = inference_copy(net.cuda(), dtype).scores(clip.cuda().to(dtype))
    tolerance = 1e-3 if dtype is torch.float32 else 5e-2
    torch.testing.assert_close(scores.cpu(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_an_exported_network_runs_on_the_device(pairwise, clip, tmp_path):
    net = make(pairwise).cuda()
    export(net, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    for video in (clip.cuda(), clip[:1, :, :5].cuda()):  # of other sizes than the example
        with torch.no_grad():
            torch.testing.assert_close(loaded(video), net(video), rtol=1e-3, atol=1e-3)
