"""Statistics of attention over a test set: measures of each block on the views of each video.

Shapes: V views, C channels, T frames, H x W positions of a block's map.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from lightning import Trainer
from torch import Tensor

from nlvideo.analysis.geometry import Grid, block_grids
from nlvideo.analysis.maps import block_names, choose_blocks, overrides
from nlvideo.analysis.measures import Measures, channel_measures, position_measures, residual_measures
from nlvideo.analysis.stats_report import write_stats
from nlvideo.blocks import Block
from nlvideo.data.eval_dataset import DecodedVideo, ViewSpec, iter_views
from nlvideo.data.module import VideoData
from nlvideo.evaluation.evaluator import Evaluator
from nlvideo.evaluation.variants import INTACT


def sample_rows(num_videos: int, limit: int | None) -> list[int]:
    """Return `limit` random rows of a manifest, always the same, or all if there are not more."""
    return sorted(np.random.default_rng(0).permutation(num_videos)[:limit].tolist())


@dataclass
class Nothing:
    """What `VideoClassifier` logs of this evaluation."""

    levels: dict[str, dict[str, float]] = field(default_factory=dict)


class AttentionStats(Evaluator):
    """Measures attention on the views of video level, in place of scoring them; goes on with --resume as a test does.

    The network computes in float32, and block by block of the queries.

    Args:
        evaluator: of the test, whose network, normalisation and folder are taken.
        blocks: names as in `block_names`; all if empty.
        limit: number of videos, drawn at random from the test set, always the same; None for all.

    Raises:
        ValueError: the network has no such block, or none that attends.
    """

    def __init__(self, evaluator: Evaluator, *, blocks: Sequence[str] = (), limit: int | None = None):
        super().__init__(evaluator.net, **evaluator.view_options)
        self.results = evaluator.results
        self.limit = limit
        if not block_names(self.net):
            raise ValueError("the network has no block with attention over positions or channels")
        self.paths = choose_blocks(self.net, blocks)

    def settings(self, data: VideoData) -> dict[str, str]:
        return {**super().settings(data), "attention": f"{', '.join(self.paths)}, {self.limit} videos"}

    def open_progress(self, trainer: Trainer) -> None:
        super().open_progress(trainer)
        data = trainer.datamodule
        self.rows = sample_rows(len(data.samples["test"]), self.limit)
        others = set(range(len(data.samples["test"]))).difference(self.rows)
        data.skip_in_test(others.union(self.video_scores.rows))

    def start(self, trainer: Trainer, split: str) -> None:
        self._grids: dict[tuple[int, ...], dict[str, Grid]] = {}  # by size of the clips

    def score(self, videos: list[DecodedVideo], views: dict[str, ViewSpec]) -> None:
        """Measure the views of video level of a batch."""
        if videos:
            with torch.autocast(videos[0].frames.device.type, enabled=False):
                for video, measured in zip(videos, self._measure(videos, views["video"]), strict=True):
                    self.video_scores.rows[video.index] = {"label": video.label, "blocks": measured}
        if self._progress is not None:
            self._progress.write({INTACT.name: self.video_scores.rows})

    def finish(self, trainer: Trainer) -> Nothing:
        """Write and print the statistics over all processes. A collective call."""
        self.video_scores.gather()
        if not self.video_scores.rows:
            raise ValueError(f"none of the {len(self.rows)} videos could be read; see the warnings above")
        if trainer.is_global_zero:
            write_stats(self.results.path, self.video_scores.rows, self.rows, trainer.datamodule)
            self._progress.remove()
        return Nothing()

    def _measure(self, videos: list[DecodedVideo], views: ViewSpec) -> list[dict[str, dict[str, Any]]]:
        """Return the means over the views of each video, by block and measure: numbers, and lags as a list."""
        normalize, per_forward = self.view_options["normalize"], self.view_options["views_per_forward"]
        numbers = [_numbers_of_views(video, views) for video in videos]
        found: list[dict[str, list[Measures]]] = [{name: [] for name in self.paths} for _ in videos]
        for owners, batch in iter_views(videos, views, per_forward):
            clip = tuple(batch.shape[2:])
            if clip not in self._grids:
                self._grids[clip] = block_grids(self.net, clip)
            of_views = torch.stack([numbers[i].pop(0) for i in owners])  # (V, T)
            measured: dict[str, Measures] = {}
            with ExitStack() as hooks:
                for name, path in self.paths.items():
                    hook = partial(self._hook, name, self._grids[clip][path], of_views, measured)
                    hooks.enter_context(self.net.get_submodule(path).register_forward_hook(hook))
                self.net.scores(normalize(batch), views.trained_crop)
            for name, measures in measured.items():
                for view, owner in enumerate(owners):
                    found[owner][name].append({measure: values[view] for measure, values in measures.items()})
        return [{name: _mean(of_block) for name, of_block in of_video.items()} for of_video in found]

    def _hook(
        self,
        name: str,
        grid: Grid,
        numbers: Tensor,
        measured: dict[str, Measures],
        block: Block,
        args: tuple,
        z: Tensor,
    ) -> None:
        x = args[0]  # (V, C, T, H, W)
        measured[name] = residual_measures(x, z)
        if overrides(block, "channel_weights"):
            measured[name] |= channel_measures(block.channel_weights(x))
        if overrides(block, "attention_weights"):
            measured[name] |= position_measures(block, x, grid, numbers)


def _numbers_of_views(video: DecodedVideo, views: ViewSpec) -> list[Tensor]:
    """Return the numbers in the video of each view's frames, int64 (T) each, in the order of `iter_views`."""
    side = views.crop or 1  # a frame of any size has as many crops
    num_crops = len(views.boxes(side, side))
    return [video.numbers[clip] for clip in video.clips[views.clips] for _ in range(num_crops)]


def _mean(views: list[Measures]) -> dict[str, Any]:
    """Return the mean of each measure over the views that have it."""
    means = {}
    for measure in views[0]:
        values = np.array([view[measure].numpy() for view in views])
        finite = values[np.isfinite(values).reshape(len(values), -1).all(axis=1)]
        means[measure] = finite.mean(axis=0).tolist() if len(finite) else float("nan")
    return means
