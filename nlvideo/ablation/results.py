"""Results of a sweep: read from the folders of its runs, averaged over seeds, compared with the baseline.

Shapes: S seeds, n videos.
"""

import functools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nlvideo.ablation.plan import Plan, Row
from nlvideo.ablation.runs import (
    TRAINED_IN,
    Run,
    failure,
    is_finished,
    is_interrupted,
    is_running,
    is_trained,
    read,
    seconds,
    stopped,
)
from nlvideo.ablation.variants import Sweep
from nlvideo.evaluation.metrics import top_k
from nlvideo.evaluation.predictions import read_predictions
from nlvideo.evaluation.seeds import Difference, difference, holm, interval
from nlvideo.training.stop_if_behind import describe_stop


@dataclass(frozen=True)
class Result:
    """The results of a variant: a row of the table.

    Attributes:
        variant: its name.
        scores: of each metric (video_top1, .., clip_top5; 0 to 1), one for each finished seed.
        num_runs: number of seeds asked for.
        params, gmacs: of its network, and relative to the baseline's.
        interval: 95 % interval of video_top1 over seeds and videos, over the videos alone with one seed; None before a
            run is finished.
        difference: to the baseline in video_top1, over the seeds and the videos that both have; None for the baseline,
            and until both have a finished run of one seed.
        difference_note: why there is no difference although both are finished.
        published: top-1, and top-5 if known, in percent.
        seconds: of training and test, mean over the seeds.
        views: of a video, and the protocol that cut them.
        videos: how many videos of the manifest were scored.
        unfinished: state of the runs that have no result, or their errors.
        stopped: number of runs that were given up.
        ended_early: epochs that a tested run was trained, if they are not all, as by ``trainer.max_time``.
        trained_in: folders of the training, if they are those of other runs, see `Run.train_key`.
    """

    variant: str
    scores: dict[str, list[float]]
    num_runs: int
    params: int
    params_ratio: float
    gmacs: float
    gmacs_ratio: float
    interval: tuple[float, float] | None
    difference: Difference | None
    difference_note: str
    published: list[float] | None
    seconds: float | None
    views: str
    videos: str
    unfinished: str
    stopped: int
    ended_early: str
    trained_in: str

    def mean(self, metric: str) -> float | None:
        return statistics.mean(self.scores[metric]) if self.scores[metric] else None

    def std(self, metric: str) -> float | None:
        """Return the standard deviation over seeds; None for a single one."""
        return statistics.stdev(self.scores[metric]) if len(self.scores[metric]) > 1 else None


def collect(plan: Plan, output: Path) -> list[Result]:
    """Return a result for each variant, from the files of its runs.

    Accuracies at video level are computed from the predictions files, those at clip level are read from test.json.
    """
    published = published_numbers(plan.sweep, plan.baseline.config)
    results = [_result(row, plan.baseline, output, published.get(row.variant.name)) for row in plan.rows]
    compared = [i for i, its in enumerate(results) if its.difference]
    corrected = holm([results[i].difference.p for i in compared])
    for i, p in zip(compared, corrected, strict=True):
        results[i] = replace(results[i], difference=replace(results[i].difference, p_holm=p))
    return results


def _result(row: Row, baseline: Row, output: Path, published: list[float] | None) -> Result:
    folders = [run.folder(output) for run in row.runs]
    finished = [folder for folder in folders if is_finished(folder)]
    predictions = [right_of(folder / "predictions.parquet") for folder in finished]
    tests = [read(folder, "test.json") for folder in finished]
    times = [seconds(folder) for folder in finished]
    scores = {
        "video_top1": [float(its["top1"].mean()) for its in predictions],
        "video_top5": [float(its["top5"].mean()) for its in predictions],
        "clip_top1": [test["clip"]["top1"] for test in tests],
        "clip_top5": [test["clip"]["top5"] for test in tests],
    }
    gained, note = (None, "") if row is baseline else compare_rows(row, baseline, output)
    return Result(
        variant=row.variant.name,
        scores=scores,
        num_runs=len(row.runs),
        params=row.cost.params,
        params_ratio=row.cost.params / baseline.cost.params,
        gmacs=row.cost.gmacs,
        gmacs_ratio=row.cost.gmacs / baseline.cost.gmacs,
        interval=_interval(predictions),
        difference=gained,
        difference_note=note,
        published=published,
        seconds=statistics.mean(time["train"] + time["test"] for time in times) if times else None,
        views=each_once(f"{test['views']} views, {test['protocol']}" for test in tests),
        videos=each_once(f"{test['num_scored']} of {test['num_videos']}" for test in tests),
        unfinished=each_once(state_of(run, output) for run in row.runs if not is_finished(run.folder(output))),
        stopped=sum(stopped(run, output) is not None for run in row.runs),
        ended_early=each_once(_ended_early(folder, row.config["trainer"]) for folder in finished),
        trained_in=each_once(read(folder, "fit.json").get(TRAINED_IN, "") for folder in finished),
    )


def each_once(texts: Iterable[str]) -> str:
    """Return the different texts that are not empty."""
    return "; ".join(dict.fromkeys(filter(None, texts)))


def state_of(run: Run, output: Path) -> str:
    if is_running(run, output):
        return "running"
    folder = run.folder(output)
    if error := failure(folder):
        return f"failed: {error}"
    if reason := stopped(run, output):
        return f"stopped {describe_stop(reason)}"
    return "interrupted" if is_trained(folder) or is_interrupted(folder) else "not run"


def _ended_early(folder: Path, trainer: dict[str, Any]) -> str:
    epochs, asked = read(folder, "fit.json").get("epochs"), trainer["max_epochs"]
    return f"{epochs} of {asked} epochs" if epochs is not None and asked and epochs < asked else ""


def compare_rows(row: Row, other: Row, output: Path) -> tuple[Difference | None, str]:
    """Return the difference of two rows in top-1 at video level, the first less the second, and why there is none
    although both have finished runs. A run is compared with that of the same seed."""
    runs = [(run.folder(output), its.folder(output)) for run, its in zip(row.runs, other.runs, strict=True)]
    if not all(any(is_finished(pair[i]) for pair in runs) for i in (0, 1)):
        return None, ""
    pairs = [pair for pair in runs if all(map(is_finished, pair))]
    if not pairs:
        return None, f"no seed of {other.variant.name!r} is finished that is finished here"
    right = _common([right_of(folder / "predictions.parquet") for pair in pairs for folder in pair])
    if right is None:
        return None, f"not tested on the videos and labels of {other.variant.name!r}"
    return difference(right[0::2], right[1::2]), ""


def _common(predictions: Sequence[pd.DataFrame]) -> np.ndarray | None:
    """Return whether each run is right on each video that all have, bool [runs, n]; None if there is no such video, or
    the runs disagree on a label."""
    predictions = [its[~its.index.duplicated()] for its in predictions]  # a manifest may have a video twice
    labels = pd.concat([its["label"] for its in predictions], axis=1, join="inner")
    if labels.empty or labels.nunique(axis=1).max() > 1:
        return None
    return np.stack([its["top1"].loc[labels.index] for its in predictions])


def _interval(predictions: Sequence[pd.DataFrame]) -> tuple[float, float] | None:
    right = _common(predictions) if predictions else None
    if right is None:
        return None
    low, high = interval(right)
    return max(low, 0.0), min(high, 1.0)


def right_of(path: Path) -> pd.DataFrame:
    """Return label, top1 and top5 (whether it is right) of each video, by its id."""
    return _right_cached(path, path.stat().st_mtime_ns)


@functools.cache
def _right_cached(path: Path, modified: int) -> pd.DataFrame:
    predictions = read_predictions(path)
    columns = {f"top{k}": top_k(predictions.scores, predictions.labels, k) for k in (1, 5)}
    return pd.DataFrame({"label": predictions.labels, **columns}, index=predictions.ids)


def published_numbers(sweep: Sweep, config: dict[str, Any]) -> dict[str, list[float]]:
    """Return published accuracies by variant, for the configuration of a baseline.

    There are none unless its network is one of the papers: ResNet-50 or -101 on Kinetics-400.
    """
    net = config["model"]["net"]["init_args"]
    of_the_papers = {"num_classes": 400, "width": 64, "residual": "bottleneck"}
    if any(net.get(name) != value for name, value in of_the_papers.items()):
        return {}
    return sweep.published.get(f"{net['arch']} R{net['depth']}", {})
