"""inference_dtype auto: bfloat16 if it is faster and keeps top-1, the same on all processes and after a resume."""

import time

import pytest
import torch
from lightning import Trainer

from nlvideo.data.eval_dataset import DecodedVideo, ViewSpec
from nlvideo.data.module import VideoData
from nlvideo.evaluation import evaluator
from nlvideo.evaluation.inference_dtype import fastest_dtype, measured_rows
from nlvideo.evaluation.progress import EvaluationProgress
from nlvideo.models.backbone import Backbone
from nlvideo.task import VideoClassifier
from tests.distributed import run_ranks


class Stub(Backbone):
    """Takes a while in one of the dtypes; its top-1 in bfloat16 is class `guess`, and 0 in float32."""

    def __init__(self, slow: torch.dtype = torch.float32, guess: int = 0):
        super().__init__(2, {})
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.slow = slow
        self.guess = guess
        self.dtypes: set[torch.dtype] = set()

    def __deepcopy__(self, memo):
        copy = Stub(self.slow, self.guess)
        copy.dtypes = self.dtypes
        return copy

    def scores(self, video, trained_crop=None):
        self.dtypes.add(video.dtype)
        if video.dtype == self.slow:
            time.sleep(0.01)
        guess = self.guess if video.dtype == torch.bfloat16 else 0
        return torch.eye(2)[guess].repeat(len(video), 1)


VIDEOS = [DecodedVideo(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.tensor([[0, 1]]), 0, i) for i in range(3)]


@pytest.mark.parametrize(
    ("net", "choice"),
    [(Stub(), "bfloat16"), (Stub(slow=torch.bfloat16), "float32"), (Stub(guess=1), "float32")],
    ids=["faster", "slower", "other top-1"],
)
def test_the_choice_of_what_was_measured(net, choice):
    chosen, reason = fastest_dtype(
        net, VIDEOS, ViewSpec(slice(None), 8), normalize=torch.Tensor.float, views_per_forward=1
    )
    assert chosen == choice
    assert f"auto: {choice}" in reason
    assert ("3 of 3 videos the same top-1" in reason) == (net.guess == 0)


def test_without_readable_videos_it_is_float32():
    views = ViewSpec(slice(None), 8)
    assert fastest_dtype(Stub(), [], views, normalize=torch.Tensor.float, views_per_forward=1)[0] == "float32"


@pytest.mark.parametrize(
    ("num_videos", "rows"), [(1, [0]), (8, [0]), (24, [0, 8, 16]), (1600, list(range(0, 1600, 100)))]
)
def test_measured_videos_are_few_and_spread(num_videos, rows):
    assert measured_rows(num_videos) == rows


def dtypes_of_this_rank(manifest: str) -> set[torch.dtype]:
    """Of a validation in which the first process would choose bfloat16, and the others float32."""
    rank = torch.distributed.get_rank()
    evaluator.fastest_dtype = lambda *args, **options: (["bfloat16", "float32"][rank], "measured")
    net = Stub()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = Trainer(accelerator="cpu", strategy="ddp", devices=2, use_distributed_sampler=False, **quiet)
    data = VideoData(
        2, val=manifest, clip_frames=4, crop_size=32, eval_short_side=None, eval_batch_size=2, num_workers=0
    )
    trainer.validate(VideoClassifier(net, inference_dtype="auto"), data, verbose=False)
    return net.dtypes


def test_all_processes_compute_in_the_dtype_that_the_first_chose(tmp_path, write_numbered):
    names = [write_numbered(tmp_path / f"{i}.mp4", 10).name for i in range(4)]
    (tmp_path / "val.csv").write_text("path,label\n" + "".join(f"{name},0\n" for name in names))
    assert run_ranks(dtypes_of_this_rank, str(tmp_path / "val.csv")) == [{torch.bfloat16}] * 2


def test_a_resumed_test_keeps_the_dtype_that_was_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr("nlvideo.evaluation.progress.SECONDS", 0)
    stopped = EvaluationProgress(tmp_path, {"inference_dtype": "auto"})
    stopped.dtype = "bfloat16"
    stopped.write({0: {"label": 1}})
    resumed = EvaluationProgress(tmp_path, {"inference_dtype": "auto"})
    assert resumed.read() == {0: {"label": 1}}
    assert resumed.dtype == "bfloat16"
