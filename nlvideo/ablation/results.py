"""Results of a sweep: read from the folders of its runs, averaged over seeds, compared with the baseline.

Shapes: n videos.
"""

import functools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from nlvideo.ablation.plan import Plan, Row
from nlvideo.ablation.runs import Run, failure, is_finished, is_interrupted, is_running, is_trained, read, seconds
from nlvideo.ablation.variants import Sweep
from nlvideo.evaluation.predictions import read_predictions
from nlvideo.evaluation.statistics import bootstrap_interval, top_k


@dataclass(frozen=True)
class Difference:
    """Difference to the baseline in top-1 accuracy at video level, over the videos that both have, mean of the seeds.

    Attributes:
        mean: of the difference.
        low, high: 95 % interval of a bootstrap over videos; what another seed would change is not in it.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Result:
    """The results of a variant: a row of the table.

    Attributes:
        variant: its name.
        scores: of each metric (video_top1, .., clip_top5; 0 to 1), one for each finished seed.
        num_runs: number of seeds asked for.
        params, gmacs: of its network, and relative to the baseline's.
        difference: None for the baseline, and until both have a finished run.
        difference_note: why there is no difference although both are finished.
        published: top-1, and top-5 if known, in percent.
        seconds: of training and test, mean over the seeds.
        views: of a video, and the protocol that cut them.
        videos: how many videos of the manifest were scored.
        unfinished: state of the runs that have no result, or their errors.
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
        """Return the standard deviation over seeds; None for a single one."""
        return statistics.stdev(self.scores[metric]) if len(self.scores[metric]) > 1 else None


def collect(plan: Plan, output: Path) -> list[Result]:
    """Return a result for each variant, from the files of its runs.

    Accuracies at video level are computed from the predictions files, those at clip level are read from test.json.
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
        seconds=statistics.mean(time["train"] + time["test"] for time in times) if times else None,
        views=each_once(f"{test['views']} views, {test['protocol']}" for test in tests),
        videos=each_once(f"{test['num_scored']} of {test['num_videos']}" for test in tests),
        unfinished=each_once(_state(run, output) for run in row.runs if not is_finished(run.folder(output))),
    )


def each_once(texts: Iterable[str]) -> str:
    """Return the different texts that are not empty."""
    return "; ".join(dict.fromkeys(filter(None, texts)))


def _state(run: Run, output: Path) -> str:
    if is_running(run, output):
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
    """Return, for the videos that every seed has, the share of the seeds that have it right."""
    right = pd.concat([its["top1"] for its in predictions], axis=1, join="inner").mean(axis=1)
    return pd.DataFrame({"right": right, "label": predictions[0]["label"].loc[right.index]})


def _right(path: Path) -> pd.DataFrame:
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


def by_variant(plan: Plan, results: Sequence[Result]) -> pd.DataFrame:
    """Return the content of results.csv: the numbers of the table, unrounded."""
    rows = []
    for its in results:
        columns = asdict(its)
        scores, difference, published = (columns.pop(name) for name in ("scores", "difference", "published"))
        rows.append(
            {
                "sweep": plan.sweep.name,
                "baseline": its.variant == plan.sweep.baseline,
                "finished": len(scores["video_top1"]),
                **columns,
                **{f"{metric}_mean": its.mean(metric) for metric in scores},
                **{f"{metric}_std": its.std(metric) for metric in scores},
                **{f"difference_{name}": value for name, value in (difference or {}).items()},
                **{f"published_{name}": value for name, value in zip(("top1", "top5"), published or (), strict=False)},
            }
        )
    return pd.DataFrame(rows)


def by_run(plan: Plan, output: Path) -> pd.DataFrame:
    """Return the content of runs.csv: each run, its folder and its accuracies."""
    rows: list[dict[str, Any]] = []
    for row in plan.rows:
        for run in row.runs:
            folder = run.folder(output)
            about = {"sweep": plan.sweep.name, "variant": row.variant.name, "run": run.label, "folder": folder.name}
            if not is_finished(folder):
                rows.append({**about, "state": _state(run, output)})
                continue
            accuracies = {
                f"video_{name}": _right(folder / "predictions.parquet")[name].mean() for name in ("top1", "top5")
            }
            clip = read(folder, "test.json")["clip"]
            accuracies |= {f"clip_{name}": clip[name] for name in ("top1", "top5")}
            times = {f"{name}_seconds": value for name, value in seconds(folder).items()}
            rows.append({**about, "state": "finished", **accuracies, **times})
    return pd.DataFrame(rows)
