"""What an evaluation leaves: a table, validate.json or test.json, and predictions.parquet; and, while a test runs, what
it has so far."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from rich.table import Table

from nlvideo.checkpoint import build
from nlvideo.console import console
from nlvideo.cost.count import count_cost
from nlvideo.data.manifest import Sample
from nlvideo.data.module import VideoData
from nlvideo.evaluation.multi_view import Evaluation
from nlvideo.evaluation.predictions import Predictions, write_predictions
from nlvideo.files import write_json
from nlvideo.models import Backbone

SHOWN_MISSING = 10


class EvaluationReport(Callback):
    """Prints and writes the results of ``validate`` and ``test``.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.monotonic()

    on_test_start = on_validation_start

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._report(trainer, pl_module, "validate", "val")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._report(trainer, pl_module, "test", "test")

    @rank_zero_only
    def _report(self, trainer: Trainer, pl_module: LightningModule, stage: str, split: str) -> None:
        seconds = time.monotonic() - self.started
        data, evaluation = trainer.datamodule, pl_module.evaluation
        samples, missing = data.samples[split], evaluation.missing()
        num_scored = len(evaluation.labels)
        result = {
            **evaluation.levels,
            "num_scored": num_scored,
            "num_videos": evaluation.num_videos,
            "missing": [samples[row].id for row in missing],
            "protocol": data.protocol if stage == "test" else "clip level",
            "seconds": seconds,
            "seconds_per_video": seconds / max(num_scored - len(data.done), 1),
        }
        if stage == "test":
            num_crops, gmacs = test_cost(pl_module.net, data, evaluation)
            result |= {"views": f"{data.num_clips} x {num_crops}", "gmacs_per_video": gmacs}
            result["frame_size"] = list(evaluation.frame_size)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / f"{stage}.json", result)
        if stage == "test":
            write_predictions(
                self.folder / "predictions.parquet", predictions_of(evaluation, samples, data.class_names)
            )

        console().print(results_table(result))
        for row in missing[:SHOWN_MISSING]:
            console().print(f"not scored: {samples[row].id}")
        if len(missing) > SHOWN_MISSING:
            console().print(f"not scored: {len(missing) - SHOWN_MISSING} more, see 'missing' in the file below")
        if stage == "test":
            height, width = evaluation.frame_size
            gmacs = result["gmacs_per_video"]
            cost = f"{gmacs:{',.0f' if gmacs >= 10 else '.2g'}} GMACs and {result['seconds_per_video']:.2f} s a video"
            console().print(f"{cost}, frames of {width} x {height}, {pl_module.inference_dtype}")
        console().print(f"{seconds:.0f} s; written to {self.folder / f'{stage}.json'}")


def test_cost(net: Backbone, data: VideoData, evaluation: Evaluation) -> tuple[int, float]:
    """Crops of a clip, and billions of multiply-adds of all views of a video of the most frequent frame size."""
    boxes = data.views("test")["video"].boxes(*evaluation.frame_size)
    _, _, height, width = boxes[0]
    with torch.device("meta"):
        twin = build(net.config())
    cost = count_cost(twin, (data.clip_sampling.num_frames, height, width))
    return len(boxes), data.num_clips * len(boxes) * cost.gmacs


def predictions_of(evaluation: Evaluation, samples: Sequence[Sample], class_names: list[str]) -> Predictions:
    return Predictions(
        ids=[samples[row].id for row in evaluation.indices.tolist()],
        labels=evaluation.labels,
        scores=evaluation.scores,
        class_names=class_names,
        missing=[samples[row].id for row in evaluation.missing()],
        view_scores=evaluation.view_scores,
    )


def results_table(result: dict) -> Table:
    """Of validate.json or test.json: a row a level."""
    table = Table("", "top-1 %", "top-5 %", "mean class %", "loss", "videos")
    names = {"clip": "clip level (1 view)"}
    if "video" in result:
        views = f"{result['views']} views, {result['protocol']}"
        names |= {"clip_averaged": f"clip-averaged (each of {views})", "video": f"video level ({views})"}
    for level, name in names.items():
        percent = [f"{100 * result[level][metric]:.2f}" for metric in ("top1", "top5", "mean_class")]
        counted = f"{result['num_scored']} of {result['num_videos']}"
        table.add_row(name, *percent, f"{result[level]['loss']:.4f}", counted)
    return table
