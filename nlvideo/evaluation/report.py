"""Report of an evaluation: a table, validate.json or test.json, and predictions.parquet."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.table import Table

from nlvideo.console import console
from nlvideo.cost.count import count_cost
from nlvideo.data.manifest import Sample
from nlvideo.data.module import VideoData
from nlvideo.environment import environment
from nlvideo.evaluation.multi_view import Evaluation
from nlvideo.evaluation.predictions import Predictions, write_predictions
from nlvideo.evaluation.variants import INTACT, Variant
from nlvideo.files import write_json
from nlvideo.models import Backbone

SHOWN_MISSING = 10


@dataclass(frozen=True)
class ResultsFolder:
    """Where ``validate`` and ``test`` write their results.

    Args:
        path: of the folder.
        checkpoint: file of the network's weights, which must be the same for a test to go on.
        resume: whether a test goes on with what a stopped one left there.
    """

    path: Path
    checkpoint: Path | None = None
    resume: bool = False


def report_evaluation(
    folder: Path,
    stage: Literal["validate", "test"],
    evaluations: Mapping[Variant, Evaluation],
    net: Backbone,
    data: VideoData,
    *,
    dtype: str,
    seconds: float,
    num_resumed: int = 0,
    num_processes: int = 1,
) -> None:
    """Write the results of an evaluation to the folder and print them.

    Args:
        evaluations: of the intact network and of the variants.
        net: the network, of which a test's multiply-adds are counted.
        data: the data module, set up for the stage.
        dtype: in which the network computed.
        seconds: that the evaluation took.
        num_resumed: videos that were scored before it was resumed.
        num_processes: that shared the videos.
    """
    split = "val" if stage == "validate" else "test"
    samples = data.samples[split]
    evaluation = evaluations[INTACT]
    predictions = to_predictions(evaluation, samples, data.class_names)
    num_scored = len(evaluation.labels)
    result: dict[str, Any] = {
        **evaluation.levels,
        "num_scored": num_scored,
        "num_videos": evaluation.num_videos,
        "missing": predictions.missing,
        "protocol": data.protocol if stage == "test" else "clip level",
        "dtype": dtype,
        "seconds": seconds,
        "seconds_per_video": seconds / max(num_scored - num_resumed, 1),
        "data": {split: data.splits.recorded(split, samples)},
        **environment(next(net.parameters()).device, num_processes),
    }
    if stage == "test":
        num_crops, gmacs = count_test(net, data, evaluation.frame_size)
        result |= {"views": f"{data.num_clips} x {num_crops}", "gmacs_per_video": gmacs}
        result["frame_size"] = list(evaluation.frame_size)
        for variant, of_variant in evaluations.items():
            name = "predictions" if variant == INTACT else f"predictions-{variant.name}"
            write_predictions(folder / f"{name}.parquet", to_predictions(of_variant, samples, data.class_names))
    comparisons = []
    if len(evaluations) > 1:
        from nlvideo.evaluation.comparison import compare, report_comparison  # late: it takes pandas

        comparisons = [compare(variant, evaluation, each) for variant, each in evaluations.items() if variant != INTACT]
        result["variants"] = {each.variant.name: each.as_dict() for each in comparisons}
    path = folder / f"{stage}.json"
    write_json(path, result)

    console().print(results_table(result))
    for name in predictions.missing[:SHOWN_MISSING]:
        console().print(f"not scored: {name}")
    if len(predictions.missing) > SHOWN_MISSING:
        console().print(f"not scored: {len(predictions.missing) - SHOWN_MISSING} more, see 'missing' in the file below")
    if stage == "test":
        height, width = evaluation.frame_size
        cost = f"{gmacs:{',.0f' if gmacs >= 10 else '.2g'}} GMACs and {result['seconds_per_video']:.2f} s a video"
        if comparisons:
            cost = f"{cost} (GMACs of the intact network, seconds of all {len(evaluations)} rows)"
        console().print(f"{cost}, frames of {width} x {height}, {dtype}")
    if comparisons:
        report_comparison(folder, comparisons, evaluation, data.class_names)
    console().print(f"{seconds:.0f} s; written to {path}")


def count_test(net: Backbone, data: VideoData, frame_size: tuple[int, int]) -> tuple[int, float]:
    """Return the crops of a clip, and the billions of multiply-adds of all views of a video of that frame size."""
    views = data.views("test")["video"]
    boxes = views.boxes(*frame_size)
    _, _, height, width = boxes[0]
    clip = (data.clip_sampling.num_frames, height, width)
    cost = count_cost(copy.deepcopy(net).to("meta"), clip, views.trained_crop)
    return len(boxes), data.num_clips * len(boxes) * cost.gmacs


def to_predictions(evaluation: Evaluation, samples: Sequence[Sample], class_names: list[str]) -> Predictions:
    """Return an evaluation's scores under the names of videos and classes."""
    return Predictions(
        ids=[samples[row].id for row in evaluation.indices.tolist()],
        labels=evaluation.labels,
        scores=evaluation.scores,
        class_names=class_names,
        missing=[samples[row].id for row in evaluation.missing()],
        view_scores=evaluation.view_scores,
    )


def results_table(result: dict[str, Any]) -> Table:
    """Return validate.json or test.json as a table, a row a level."""
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
