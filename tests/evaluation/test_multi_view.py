"""Views, scores and levels of an evaluation, protocol by protocol."""

import numpy as np
import pytest
import torch
from lightning import Trainer

from nlvideo.data.eval_dataset import DecodedVideo
from nlvideo.data.module import VideoData
from nlvideo.evaluation.multi_view import VideoScores
from nlvideo.models.backbone import Backbone
from nlvideo.task import VideoClassifier

FRAMES = 100


class Witness(Backbone):
    """Keeps what it is shown; its scores are the number of the first frame, as a share of 255, and the rest."""

    slides = True

    def __init__(self):
        super().__init__(2, {})
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = []
        self.autocast = False

    def __deepcopy__(self, memo):
        return self  # so that an inference copy shows its views to this one

    def scores(self, video, trained_crop=None):
        self.seen.append((video, trained_crop))
        self.autocast |= torch.is_autocast_enabled("cpu")
        middles = torch.arange(4, 64, 8) - (64 - video.shape[-2]) // 2
        bits = (video[:, 0, 0, middles, 0] > 0.5).float()  # (V, 8): the number of the first frame
        share = bits @ (2.0 ** torch.arange(8)) / 255
        return torch.stack([share, 1 - share], dim=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_numbered):
    folder = tmp_path_factory.mktemp("protocols")
    write_numbered(folder / "numbered.mp4", FRAMES)  # 64 x 96: as high as a crop of 64
    (folder / "val.csv").write_text("path,label\nnumbered.mp4,1\n")
    (folder / "classes.txt").write_text("early\nlate\n")
    return folder


def test_run(folder, tmp_path, protocol, *, precision="32-true", **options):
    witness = Witness()
    task = VideoClassifier(witness, mean=0.0, std=1.0)
    settings = {"clip_frames": 4, "frame_interval": 8, "short_side": None, "crop_size": 60, "eval_short_side": None}
    settings |= {"test_crop_size": 64, "num_clips": 3, "num_workers": 0, "protocol": protocol, **options}
    data = VideoData(2, val=str(folder / "val.csv"), **settings)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(**quiet, default_root_dir=tmp_path, devices=1, precision=precision)
    trainer.test(task, data, verbose=False)
    return witness, task.evaluation


test_run.__test__ = False

STARTS = {
    "uniform": [[0, 8, 16, 24], [38, 46, 54, 62], [75, 83, 91, 99]],
    "mmaction": [[0, 8, 16, 24], [38, 46, 54, 62], [75, 83, 91, 99]],
    "nln": [[0, 8, 16, 24], [33, 41, 49, 57], [66, 74, 82, 90]],
    "slowfast": [[0, 10, 20, 31], [22, 33, 43, 53], [45, 55, 66, 76]],
    "full": [[0, 8, 16, 24], [33, 41, 49, 57], [66, 74, 82, 90]],
}


@pytest.mark.parametrize("protocol", STARTS)
def test_frames_crops_and_pooling_of_a_protocol(protocol, folder, tmp_path, read_numbers):
    witness, evaluation = test_run(folder, tmp_path, protocol)
    (clip, clip_slides), *tested = witness.seen
    views = torch.cat([video for video, _ in tested])  # (V, 3, T, H, W)

    assert clip_slides is None
    assert clip.shape == (1, 3, 4, 60, 60)
    num_crops = 1 if protocol == "full" else 3
    numbers = read_numbers((views * 255).round().byte())
    assert numbers == [frames for frames in STARTS[protocol] for _ in range(num_crops)]
    assert views.shape[-2:] == ((64, 96) if protocol == "full" else (64, 64))
    slides = {trained_crop for _, trained_crop in tested}
    assert slides == ({60} if protocol in ("nln", "slowfast", "full") else {None})

    shares = np.array([start for start, *_ in STARTS[protocol]]) / 255  # of class 0
    np.testing.assert_allclose(evaluation.scores, [[shares.mean(), 1 - shares.mean()]], rtol=1e-5)


def test_a_test_runs_outside_autocast(folder, tmp_path):
    witness, _ = test_run(folder, tmp_path, "uniform", precision="bf16-mixed")
    assert witness.seen
    assert not witness.autocast


def test_offsets_of_the_crops_are_in_the_pixels(tmp_path):
    """A gradient from left to right shows where each crop of a wide video begins."""
    from nlvideo.data.eval_dataset import ViewSpec, iter_views

    gradient = torch.arange(341, dtype=torch.int32).expand(2, 3, 256, 341)
    video = DecodedVideo(gradient, torch.tensor([[0, 1]]), label=0, index=0)
    for protocol, offsets in {"nln": [0, 42, 84], "slowfast": [0, 43, 85], "mmaction": [0, 42, 84]}.items():
        ((_, views),) = iter_views([video], ViewSpec(slice(0, 1), 256, 3, protocol), 8)
        assert views[:, 0, 0, 0, 0].tolist() == offsets
        assert (views[:, 0, :, 0, -1] - views[:, 0, :, 0, 0] == 255).all()


def test_levels_against_numpy():
    rng = np.random.default_rng(0)
    num_videos, num_views, num_classes = 40, 6, 9
    labels = rng.integers(0, num_classes, num_videos)
    views = rng.dirichlet(np.ones(num_classes) * 0.3, (num_videos, num_views)).astype(np.float32)
    video_scores = VideoScores()
    for index in rng.permutation(num_videos):  # in any order
        video = DecodedVideo(torch.zeros(1, 3, 4, 6), torch.zeros(1, 1), int(labels[index]), int(index))
        scores = {"clip": torch.from_numpy(views[index, :1]), "video": torch.from_numpy(views[index])}
        video_scores.add(video, scores, keep_views=True)
        video_scores.add(video, scores, keep_views=True)  # one vote a video
    result = video_scores.evaluation(num_videos + 1)

    def expected(scores, labels):
        ranked = np.argsort(-scores, axis=-1)
        right = ranked[:, 0] == labels
        return {
            "top1": right.mean(),
            "top5": (ranked[:, :5] == labels[:, None]).any(axis=1).mean(),
            "mean_class": np.mean([right[labels == label].mean() for label in np.unique(labels)]),
            "loss": -np.log(np.maximum(scores[range(len(labels)), labels], 1e-12)).mean(),
        }

    assert result.levels["video"] == pytest.approx(expected(views.mean(axis=1), labels))
    assert result.levels["clip"] == pytest.approx(expected(views[:, 0], labels))
    singly = expected(views.reshape(-1, num_classes), labels.repeat(num_views))
    assert result.levels["clip_averaged"] == pytest.approx(singly)
    np.testing.assert_array_equal(result.view_scores, views)
    assert result.indices.tolist() == list(range(num_videos))
    assert result.missing() == [num_videos]
    assert result.frame_size == (4, 6)


def test_nothing_that_could_be_read_is_an_error():
    with pytest.raises(ValueError, match="none of the 7 videos could be read"):
        VideoScores().evaluation(7)
