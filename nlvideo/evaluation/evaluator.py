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
from nlvideo.data.module import VideoData
from nlvideo.evaluation.inference_dtype import fastest_dtype, measured_rows
from nlvideo.evaluation.multi_view import Evaluation, Normalize, VideoScores, score_views
from nlvideo.evaluation.progress import EvaluationProgress, Rows, scoring_settings
from nlvideo.evaluation.report import ResultsFolder, report_evaluation
from nlvideo.evaluation.variants import INTACT, Variant
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
        variants: what each batch is scored with, the intact network first.
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
        self.variants: list[Variant] = [INTACT]
        self._scores: dict[str, VideoScores] = {}
        self._copy: Backbone | None = None  # that computes, if it is not the network itself
        self._progress: EvaluationProgress | None = None
        self._num_resumed = 0
        self._begin()

    def _begin(self, rows: Rows | None = None) -> None:
        self._scores = {variant.name: VideoScores((rows or {}).get(variant.name)) for variant in self.variants}

    @property
    def video_scores(self) -> VideoScores:
        """Scores of the videos so far by the intact network."""
        return self._scores[INTACT.name]

    def settings(self, data: VideoData) -> dict[str, str]:
        """Return what a test must have in common with a stopped one to go on with it."""
        names = ", ".join(variant.name for variant in self.variants)
        settings = {"inference_dtype": self.inference_dtype, "keep_view_scores": self.keep_view_scores}
        settings["variants"] = f"{names}, seed {data.seed}" if len(self.variants) > 1 else names
        return scoring_settings(data, self.results.checkpoint, **settings)

    def open_progress(self, trainer: Trainer) -> None:
        """Go on with a stopped test or forget it, before the test's loader is made. A collective call."""
        self._begin()
        if self.results is None:
            return
        data = trainer.datamodule
        self._progress = EvaluationProgress(self.results.path, self.settings(data))
        rows: Rows = {}
        if self.results.resume:
            rows = self._progress.read()
            if trainer.is_global_zero:
                scored = len(rows[INTACT.name])
                console().print(f"resumed: {scored} of {len(data.samples['test'])} videos were scored before")
        elif trainer.is_global_zero:
            self._progress.remove()
        trainer.strategy.barrier()  # no process writes while another reads or removes
        self._begin(rows)
        data.skip_in_test(self.video_scores.rows)
        self._num_resumed = len(self.video_scores.rows)

    def start(self, trainer: Trainer, split: Split) -> None:
        """Get ready to score. A collective call."""
        self._started = time.monotonic()
        self._split = split
        if trainer.state.fn != "fit":
            self._dtype = self._resolve_dtype(trainer)
            self._copy = inference_copy(self.net, getattr(torch, self._dtype))

    def score(self, videos: list[DecodedVideo], views: dict[str, ViewSpec]) -> None:
        """Score the views of a batch with each variant, by level, see `VideoData.views`.

        The batch is empty if none of its videos could be read, or only the other processes have one.
        """
        if videos:
            net, autocast = self.net, nullcontext()
            if self._copy is not None:
                net, autocast = self._copy, torch.autocast(videos[0].frames.device.type, enabled=False)
            for variant in self.variants:
                shown = variant.show(videos)
                with autocast, variant.lesion(net):
                    levels = {name: score_views(net, shown, spec, **self.view_options) for name, spec in views.items()}
                for i, video in enumerate(videos):
                    scores = {level: of_videos[i] for level, of_videos in levels.items()}
                    self._scores[variant.name].add(video, scores, self.keep_view_scores)
        if self._progress is not None:
            self._progress.write({name: scores.rows for name, scores in self._scores.items()})

    def finish(self, trainer: Trainer) -> Evaluation:
        """Return the results of the intact network over all processes; write and print all. A collective call."""
        data, stage = trainer.datamodule, trainer.state.fn
        evaluations = {}
        for variant in self.variants:
            scores = self._scores[variant.name]
            scores.gather()
            evaluations[variant] = scores.evaluation(len(data.samples[self._split]))
        if self.results is not None and stage != "fit" and trainer.is_global_zero:
            report_evaluation(
                self.results.path,
                stage.value,
                evaluations,
                self.net,
                data,
                dtype=self._dtype,
                seconds=time.monotonic() - self._started,
                num_resumed=self._num_resumed,
                num_processes=trainer.world_size,
            )
            if self._progress is not None:
                self._progress.remove()
        self._begin()
        self._copy = None
        return evaluations[INTACT]

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
