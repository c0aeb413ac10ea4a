"""Evaluator: the evaluation half of a task, from batches of decoded videos to results.

Shapes: V views, C = 3 channels, T frames, h x w pixels.
"""

import time
from contextlib import nullcontext
from typing import Any, Literal

import torch
from lightning import Trainer

from nlvideo.console import console
from nlvideo.data.eval_dataset import DecodedVideo, ViewSpec
from nlvideo.evaluation.inference_dtype import fastest_dtype, measured_rows
from nlvideo.evaluation.multi_view import Evaluation, Normalize, VideoScores, score_views
from nlvideo.evaluation.progress import EvaluationProgress, scoring_settings
from nlvideo.evaluation.report import ResultsFolder, report_evaluation
from nlvideo.models import Backbone
from nlvideo.models.inference import inference_copy

InferenceDtype = Literal["float32", "bfloat16", "auto"]
Split = Literal["val", "test"]


class Evaluator:
    """Scores the videos of a split: `start`, `score` for each batch, `finish`.

    ``validate`` and ``test`` compute outside autocast with an `inference_copy` of the network. Validations within
    ``fit`` compute with the network itself, as Lightning autocasts them.

    Args:
        net: the network.
        normalize: uint8 [V, C, T, h, w] -> float, on the network's device.
        views_per_forward, inference_dtype, keep_view_scores: see `VideoClassifier`.

    Attributes:
        results: where ``validate`` and ``test`` write; None neither writes nor prints.
        video_scores: of the videos so far.
    """

    def __init__(
        self,
        net: Backbone,
        normalize: Normalize,
        *,
        views_per_forward: int = 32,
        inference_dtype: InferenceDtype = "float32",
        keep_view_scores: bool = False,
    ):
        if views_per_forward < 1:
            raise ValueError(f"model.views_per_forward: expected at least 1, got {views_per_forward}")
        self.net = net
        self.view_options: dict[str, Any] = {"normalize": normalize, "views_per_forward": views_per_forward}
        self.inference_dtype: InferenceDtype = inference_dtype
        self.keep_view_scores = keep_view_scores
        self.results: ResultsFolder | None = None
        self.video_scores = VideoScores()
        self._copy: Backbone | None = None  # that computes, if it is not the network itself
        self._progress: EvaluationProgress | None = None
        self._num_resumed = 0

    def open_progress(self, trainer: Trainer) -> None:
        """Go on with a stopped test or forget it, before the test's loader is made. A collective call."""
        if self.results is None:
            return
        data = trainer.datamodule
        settings = {"inference_dtype": self.inference_dtype, "keep_view_scores": self.keep_view_scores}
        self._progress = EvaluationProgress(
            self.results.path, scoring_settings(data, self.results.checkpoint, **settings)
        )
        rows = {}
        if self.results.resume:
            rows = self._progress.read()
            if trainer.is_global_zero:
                console().print(f"resumed: {len(rows)} of {len(data.samples['test'])} videos were scored before")
        elif trainer.is_global_zero:
            self._progress.remove()
        trainer.strategy.barrier()  # no process writes while another reads or removes
        data.skip_in_test(rows)
        self.video_scores = VideoScores(rows)
        self._num_resumed = len(rows)

    def start(self, trainer: Trainer, split: Split) -> None:
        """Get ready to score. A collective call."""
        self._started = time.monotonic()
        self._split = split
        if trainer.state.fn != "fit":
            self._dtype = self._resolve_dtype(trainer)
            self._copy = inference_copy(self.net, getattr(torch, self._dtype))

    def score(self, videos: list[DecodedVideo], views: dict[str, ViewSpec]) -> None:
        """Score the views of a batch by level, see `VideoData.views`.

        The batch is empty if none of its videos could be read, or only the other processes have one.
        """
        if videos:
            net, autocast = self.net, nullcontext()
            if self._copy is not None:
                net, autocast = self._copy, torch.autocast(videos[0].frames.device.type, enabled=False)
            with autocast:
                levels = {level: score_views(net, videos, spec, **self.view_options) for level, spec in views.items()}
            for i, video in enumerate(videos):
                scores = {level: of_videos[i] for level, of_videos in levels.items()}
                self.video_scores.add(video, scores, self.keep_view_scores)
        if self._progress is not None:
            self._progress.write(self.video_scores.rows)

    def finish(self, trainer: Trainer) -> Evaluation:
        """Return the results over all processes; write and print them. A collective call."""
        data, stage = trainer.datamodule, trainer.state.fn
        self.video_scores.gather()
        evaluation = self.video_scores.evaluation(len(data.samples[self._split]))
        if self.results is not None and stage != "fit" and trainer.is_global_zero:
            report_evaluation(
                self.results.path,
                stage.value,
                evaluation,
                self.net,
                data,
                dtype=self._dtype,
                seconds=time.monotonic() - self._started,
                num_resumed=self._num_resumed,
            )
            if self._progress is not None:
                self._progress.remove()
        self.video_scores, self._copy = VideoScores(), None
        return evaluation

    def _resolve_dtype(self, trainer: Trainer) -> str:
        """Return the dtype in which all processes compute, the same after a resume."""
        dtype: str = self.inference_dtype
        if self._progress is not None and self._progress.dtype is not None:
            dtype = self._progress.dtype
        elif dtype == "auto":
            if trainer.is_global_zero:
                dtype, reason = self._measure_dtypes(trainer)
                console().print(reason)
            dtype = trainer.strategy.broadcast(dtype)
        if self._progress is not None:
            self._progress.dtype = dtype
        return dtype

    def _measure_dtypes(self, trainer: Trainer) -> tuple[str, str]:
        loader = trainer.val_dataloaders if self._split == "val" else trainer.test_dataloaders
        read = (loader.dataset[row] for row in measured_rows(len(loader.dataset)))
        device = trainer.strategy.root_device
        videos = [video._replace(frames=video.frames.to(device)) for video in read if video is not None]
        *_, views = trainer.datamodule.views(self._split).values()
        return fastest_dtype(self.net, videos, views, **self.view_options)
