"""A new decoder is one class and one line: this one reads .npy files, and a network trains on them."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from nlvideo.data.clips import ClipTransform, collate_clips
from nlvideo.data.manifest import Sample
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.train_dataset import TrainClips
from nlvideo.data.transforms import JitteredCrop
from nlvideo.data.video import READERS, DecodeError, Reader, ReadError, Video
from nlvideo.models import ResNet3d


class NumpyReader(Reader):
    name, module, fps = "numpy", "numpy", 25.0

    def __init__(self, path):
        try:
            self._frames = torch.from_numpy(np.load(path))  # uint8 [T, 3, H, W]
        except ValueError as error:
            raise ReadError(f"numpy: {error}") from error
        self.num_frames, _, *self.size = self._frames.shape

    def chunks(self, numbers, box):
        frames = self._frames[numbers]
        yield frames if box is None else frames[..., box.top :, box.left :][..., : box.height, : box.width]


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(READERS, "numpy", NumpyReader)


def test_a_new_decoder_reads_and_trains(registered, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 3, 40, 48), np.uint8)
    np.save(tmp_path / "a.npy", pixels)
    (tmp_path / "b.npy").write_text("no array")
    video = Video(tmp_path / "a.npy", "numpy")
    assert (video.num_frames, video.fps, video.height, video.width, video.decoder) == (20, 25.0, 40, 48, "numpy")
    np.testing.assert_array_equal(video.frames(np.array([7, 3, 7, 25])), pixels[[7, 3, 7, 19]])
    with pytest.raises(DecodeError, match=r"b\.npy: numpy: "):
        Video(tmp_path / "b.npy", "numpy")

    dataset = TrainClips(
        [Sample(tmp_path / "a.npy", label, "a.npy") for label in (0, 1)],
        sampling=ClipSampling(4, 2),
        transform=ClipTransform(JitteredCrop(32, (32, 40))),
        decoder="numpy",
    )
    batch = next(iter(DataLoader(dataset, batch_size=2, collate_fn=collate_clips)))
    assert batch.video.shape == (2, 1, 3, 4, 32, 32)
    net = ResNet3d(num_classes=2, width=4)
    loss = cross_entropy(net(batch.video[:, 0] / 255), batch.label)
    loss.backward()
    assert torch.isfinite(loss) and next(net.parameters()).grad.abs().sum() > 0
