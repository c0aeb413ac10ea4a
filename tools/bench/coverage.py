"""Measure how often the 95 % interval of a difference over seeds and videos holds the true difference, by simulation.

Two networks are trained with S seeds each and tested on n videos. A network is right on a video if

    ability + seed + video + network's own part of the video + rest > 0,

all but the ability normally distributed, so the true accuracies are known: the normal distribution at the ability over
the square root of the summed variances.

python tools/bench/coverage.py --output results/coverage.csv

Shapes: R sweeps, S seeds, n videos.
"""

import argparse
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from scipy.special import ndtr

from nlvideo.evaluation.seeds import t_interval


@dataclass(frozen=True)
class Model:
    """How two networks differ, in units of the rest's standard deviation.

    Attributes:
        abilities: of both.
        of_seeds, of_videos, of_both: standard deviations of the seeds of a network, of the videos, and of a network's
            own part of a video.
    """

    abilities: tuple[float, float] = (0.6, 0.3)
    of_seeds: float = 0.1
    of_videos: float = 1.0
    of_both: float = 0.5


@dataclass(frozen=True)
class Sweeps:
    """Simulated sweeps: whether the first network is right less whether the second is, int8 [R, S, n], and the true
    difference of their accuracies."""

    gained: np.ndarray
    truth: float


def simulate(model: Model, num_sweeps: int, num_seeds: int, num_videos: int, *, seed: int) -> Sweeps:
    rng = np.random.default_rng(seed)
    _, of_seeds, of_videos, of_both = astuple(model)
    videos = of_videos * rng.standard_normal((num_sweeps, 1, num_videos), np.float32)
    right = []
    for ability in model.abilities:
        margin = rng.standard_normal((num_sweeps, num_seeds, num_videos), np.float32) + videos
        margin += ability + of_seeds * rng.standard_normal((num_sweeps, num_seeds, 1), np.float32)
        margin += of_both * rng.standard_normal((num_sweeps, 1, num_videos), np.float32)
        right.append((margin > 0).astype(np.int8))
    spread = np.sqrt(1 + of_seeds**2 + of_videos**2 + of_both**2)
    first, second = ndtr(np.array(model.abilities) / spread)
    return Sweeps(right[0] - right[1], float(first - second))


def over_videos(gained: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the normal intervals over the videos of the seeds' mean, which do not know of seeds."""
    of_videos = gained.mean(axis=1)  # (R, n)
    half = 1.96 * of_videos.std(axis=1) / np.sqrt(of_videos.shape[1])
    return of_videos.mean(axis=1) - half, of_videos.mean(axis=1) + half


def pigeonhole(gained: np.ndarray, num_samples: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Return the percentile intervals of a bootstrap that draws seeds and, independently, videos (Owen 2007).

    The draws are the same for all sweeps.
    """
    rng = np.random.default_rng(0)
    num_sweeps, num_seeds, num_videos = gained.shape
    of_seeds = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=num_samples) / num_seeds
    of_videos = rng.multinomial(num_videos, np.full(num_videos, 1 / num_videos), size=num_samples) / num_videos
    by_seed = of_videos.astype(np.float32) @ gained.reshape(-1, num_videos).T.astype(np.float32)  # (samples, R S)
    means = np.einsum("brs,bs->br", by_seed.reshape(num_samples, num_sweeps, num_seeds), of_seeds)
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return low, high


METHODS = {"t": t_interval, "pigeonhole": pigeonhole, "videos": over_videos}
MODELS = {
    "seeds alike": Model(of_seeds=0.0),
    "seeds differ little": Model(of_seeds=0.05),
    "seeds differ": Model(of_seeds=0.15),
    "seeds differ much": Model(of_seeds=0.4),
    "near 97 %": Model(abilities=(3.0, 2.8), of_seeds=0.15),
}


def measure(num_seeds: int, num_videos: int, num_sweeps: int) -> list[dict[str, object]]:
    """Return a row for each model: the true difference, the mean standard deviation over seeds of the measured one, and
    of each method how many intervals hold the truth and how wide they are on average."""
    rows = []
    for name, model in MODELS.items():
        sweeps = simulate(model, num_sweeps, num_seeds, num_videos, seed=0)
        spread = float(sweeps.gained.mean(axis=2).std(axis=1, ddof=1).mean())
        row = {"model": name, "num_seeds": num_seeds, "num_videos": num_videos, "num_sweeps": num_sweeps}
        row |= {"difference": sweeps.truth, "std": spread}
        for method, interval in METHODS.items():
            low, high = interval(sweeps.gained)
            row[f"{method}_coverage"] = float(np.mean((low <= sweeps.truth) & (sweeps.truth <= high)))
            row[f"{method}_width"] = float(np.mean(high - low))
        rows.append(row)
    return rows


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 5], help="at least 2 each")
    parser.add_argument("--videos", type=int, nargs="+", default=[100, 400])
    parser.add_argument("--sweeps", type=int, default=1000, help="simulated for each row")
    parser.add_argument("--output", type=Path, help="CSV file")
    return parser


def main() -> None:
    from measure import write_rows  # beside this script; tests import the simulation alone

    options = build_parser().parse_args()
    cases = [(seeds, videos) for seeds in options.seeds for videos in options.videos]
    write_rows([row for case in cases for row in measure(*case, options.sweeps)], options.output, "cpu", digits=4)


if __name__ == "__main__":
    main()
