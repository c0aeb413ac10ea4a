"""What the runs of a sweep gave: read from their folders, averaged over seeds, compared with the baseline.

Letters: n videos.
"""

import functools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from nlvideo.ablation.claims import is_claimed
from nlvideo.ablation.plan import Plan, Row
from nlvideo.ablation.runs import Run, failure, is_finished, is_interrupted, is_trained, read, seconds
from nlvideo.ablation.variants import Sweep
from nlvideo.evaluation.predictions import read_predictions
from nlvideo.evaluation.statistics import bootstrap_interval, top_k

METRICS = ("video_top1", "video_top5", "clip_top1", "clip_top5")


@dataclass(frozen=True)
class Difference:
    """To the baseline, in top-1 accuracy at video level: over the videos that both have, each seed's mean.

    Attributes:
        mean: of the difference.
        low, high: 95 % interval, by drawing videos; what training with another seed would change is not in it.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Result:
    """A row of the table.

    Attributes:
        variant: its name.
        scores: of each metric (video_top1, .., clip_top5; 0 to 1), one for each finished seed.
        num_runs: seeds that were asked for.
        params, gmacs: of its network, and relative to the baseline's.
        difference: None for the baseline, and as long as either has no finished run.
        difference_note: why there is none though both are finished.
        published: top-1, and top-5 where known, in percent; None where not.
        seconds: of training and test, mean over the seeds; None where unknown.
        views: of a video, and the protocol that cut them.
        videos: how many of the manifest's were scored.
        unfinished: what is to say of the runs that have no result: their errors first.
    """

    variant: str
    scores: dict[str, list[float]]
    num_runs: int
    params: int
    params_ratio: float
    gmacs: float
    gmacs_ratio: float
    difference: Difference | None
    difference_note: str
    published: list[float] | None
    seconds: float | None
    views: str
    videos: str
    unfinished: str

    def mean(self, metric: str) -> float | None:
        return statistics.mean(self.scores[metric]) if self.scores[metric] else None

    def std(self, metric: str) -> float | None:
        """Over seeds; None for a single one."""
        return statistics.stdev(self.scores[metric]) if len(self.scores[metric]) > 1 else None


def collect(plan: Plan, output: Path) -> list[Result]:
    """A result for each variant, from the files of its runs.

    The accuracies at video level are computed from the predictions files, those at clip level stand in test.json.
    """
    published = published_numbers(plan.sweep, plan.baseline.config)
    return [_result(row, plan.baseline, output, published.get(row.variant.name)) for row in plan.rows]


def _result(row: Row, baseline: Row, output: Path, published: list[float] | None) -> Result:
    folders = [run.folder(output) for run in row.runs]
    finished = [folder for folder in folders if is_finished(folder)]
    predictions = [_right(folder / "predictions.parquet") for folder in finished]
    tests = [read(folder, "test.json") for folder in finished]
    times = [seconds(folder) for folder in finished]
    scores = {
        "video_top1": [float(its["top1"].mean()) for its in predictions],
        "video_top5": [float(its["top5"].mean()) for its in predictions],
        "clip_top1": [test["clip"]["top1"] for test in tests],
        "clip_top5": [test["clip"]["top5"] for test in tests],
    }
    difference, note = None, ""
    if row is not baseline and finished:
        difference, note = _difference(predictions, baseline, output)
    return Result(
        variant=row.variant.name,
        scores=scores,
        num_runs=len(row.runs),
        params=row.cost.params,
        params_ratio=row.cost.params / baseline.cost.params,
        gmacs=row.cost.gmacs,
        gmacs_ratio=row.cost.gmacs / baseline.cost.gmacs,
        difference=difference,
        difference_note=note,
        published=published,
        seconds=statistics.mean(each["train"] + each["test"] for each in times) if times and all(times) else None,
        views=_each_once(f"{test['views']} views, {test['protocol']}" for test in tests),
        videos=_each_once(f"{test['num_scored']} of {test['num_videos']}" for test in tests),
        unfinished=_each_once(_state(run, output) for run in row.runs if not is_finished(run.folder(output))),
    )


def _each_once(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def _state(run: Run, output: Path) -> str:
    if is_claimed(run.claim_file(output)):
        return "running"
    folder = run.folder(output)
    if error := failure(folder):
        return f"failed: {error}"
    return "stopped" if is_trained(folder) or is_interrupted(folder) else "not run"


def _difference(predictions: Sequence[pd.DataFrame], baseline: Row, output: Path) -> tuple[Difference | None, str]:
    folders = [run.folder(output) for run in baseline.runs]
    of_baseline = [_right(folder / "predictions.parquet") for folder in folders if is_finished(folder)]
    if not of_baseline:
        return None, ""
    ours, theirs = _mean_over_seeds(predictions), _mean_over_seeds(of_baseline)
    both = pd.concat([ours.add_suffix("_ours"), theirs.add_suffix("_theirs")], axis=1, join="inner")
    if both.empty or (both["label_ours"] != both["label_theirs"]).any():
        return None, "not tested on the videos and labels of the baseline"
    gained = (both["right_ours"] - both["right_theirs"]).to_numpy()  # [n]
    return Difference(float(gained.mean()), *bootstrap_interval(gained)), ""


def _mean_over_seeds(predictions: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Over the videos that every seed has: how many of the seeds have it right, from 0 to 1."""
    right = pd.concat([its["top1"] for its in predictions], axis=1, join="inner").mean(axis=1)
    return pd.DataFrame({"right": right, "label": predictions[0]["label"].loc[right.index]})


def _right(path: Path) -> pd.DataFrame:
    """By the video's id: label, top1 and top5 (whether it is right)."""
    return _right_cached(path, path.stat().st_mtime_ns)


@functools.cache
def _right_cached(path: Path, modified: int) -> pd.DataFrame:
    predictions = read_predictions(path)
    columns = {f"top{k}": top_k(predictions.scores, predictions.labels, k) for k in (1, 5)}
    return pd.DataFrame({"label": predictions.labels, **columns}, index=predictions.ids)


def published_numbers(sweep: Sweep, config: dict[str, Any]) -> dict[str, list[float]]:
    """Those of the network of this configuration, the baseline's, by variant; none where it is not one of the papers:
    ResNet-50 or -101 on Kinetics-400."""
    net = config["model"]["net"]["init_args"]
    whole = {"num_classes": 400, "width": 64, "residual": "bottleneck"}
    if any(net.get(name) != value for name, value in whole.items()):
        return {}
    return sweep.published.get(f"{net['arch']} R{net['depth']}", {})


def by_variant(plan: Plan, results: Sequence[Result]) -> pd.DataFrame:
    """results.csv: the table's numbers, unrounded, with mean and standard deviation over seeds."""
    rows = []
    for result in results:
        difference = asdict(result.difference) if result.difference else {}
        published = dict(zip(("top1", "top5"), result.published or (), strict=False))
        rows.append(
            {
                "sweep": plan.sweep.name,
                "variant": result.variant,
                "baseline": result.variant == plan.sweep.baseline,
                "runs": result.num_runs,
                "finished": len(result.scores["video_top1"]),
                **{f"{metric}_{name}": getattr(result, name)(metric) for metric in METRICS for name in ("mean", "std")},
                **{f"difference_{name}": difference.get(name) for name in ("mean", "low", "high")},
                **{name: getattr(result, name) for name in ("params", "params_ratio", "gmacs", "gmacs_ratio")},
                **{f"published_{name}": published.get(name) for name in ("top1", "top5")},
                **{name: getattr(result, name) for name in ("seconds", "videos", "unfinished")},
            }
        )
    return pd.DataFrame(rows)


def by_run(plan: Plan, output: Path) -> pd.DataFrame:
    """runs.csv: each run, its folder and its accuracies."""
    rows: list[dict[str, Any]] = []
    for row in plan.rows:
        for run in row.runs:
            folder = run.folder(output)
            about = {"sweep": plan.sweep.name, "variant": row.variant.name, "run": run.label, "folder": folder.name}
            if not is_finished(folder):
                rows.append({**about, "state": _state(run, output)})
                continue
            right, test, times = _right(folder / "predictions.parquet"), read(folder, "test.json"), seconds(folder)
            rows.append(
                {
                    **about,
                    "state": "finished",
                    "video_top1": right["top1"].mean(),
                    "video_top5": right["top5"].mean(),
                    "clip_top1": test["clip"]["top1"],
                    "clip_top5": test["clip"]["top5"],
                    "train_seconds": times["train"] if times else None,
                    "test_seconds": times["test"] if times else None,
                }
            )
    return pd.DataFrame(rows)
