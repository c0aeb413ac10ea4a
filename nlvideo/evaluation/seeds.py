"""Statistics over seeds and videos: intervals, tests and probabilities for a network that was trained several times.

A mean over S seeds and n videos varies with both. Of the model right[s, v] = mean + seed s + video v + rest, the
variance of the mean has two parts:

    seeds   the variance of the S means over videos, / S
    videos  the variance of the n means over seeds, less what the rest adds to it, / n

A bootstrap that draws seeds and videos together varies by about this sum (Owen, The pigeonhole bootstrap, Annals of
Applied Statistics 2007). Its percentiles are too wide if seeds are alike, as it counts the rest three times, and too
narrow if two to five seeds differ. So the sum is computed, and the interval is Student's t, made for so few.
`tools/bench/coverage.py` measures how often each kind of interval holds the truth.

Shapes: S seeds, n videos; "..": any number of further dimensions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri, nctdtr, ndtri, stdtrit

from nlvideo.evaluation.statistics import bootstrap_interval, mcnemar


@dataclass(frozen=True)
class Difference:
    """Difference of two networks in accuracy, over the same seeds and the same videos: the first less the second.

    Attributes:
        mean: over seeds and videos, from -1 to 1.
        low, high: 95 % interval of it, see `interval`.
        p: two-sided p-value of no difference, see `p_value`; with one seed McNemar's exact test.
        better: probability that one training of the first scores higher than one of the second, see
            `probability_better`.
        seeds_needed: to tell a difference of 1 % on these videos, see `seeds_needed`; None with one seed.
        num_seeds, num_videos: over which it is taken. One seed: `low`, `high`, `p` and `better` are of the videos
            alone.
        p_holm: `p` corrected for the rows of its table, see `holm`.
    """

    mean: float
    low: float
    high: float
    p: float
    better: float
    seeds_needed: int | None
    num_seeds: int
    num_videos: int
    p_holm: float | None = None


def difference(ours: np.ndarray, theirs: np.ndarray) -> Difference:
    """Return the difference of two networks, paired by seed and by video.

    Args:
        ours: whether each training of the first is right, bool [S, n].
        theirs: of the second, row s trained with the same seed, column v the same video, bool [S, n].
    """
    gained = ours.astype(np.int8) - theirs.astype(np.int8)  # [S, n]
    num_seeds, num_videos = gained.shape
    low, high = interval(gained)
    p = mcnemar(ours[0], theirs[0])[2] if num_seeds == 1 else float(p_value(gained))
    needed = None if num_seeds == 1 else seeds_needed(gained.mean(axis=1))
    mean, better = float(gained.mean()), probability_better(gained)
    return Difference(mean, max(low, -1.0), min(high, 1.0), p, better, needed, num_seeds, num_videos)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the mean of `values` [S, n] over seeds and videos.

    With one seed it is `bootstrap_interval` over the videos, and does not know what another seed would change. It is
    not cut off where the mean cannot lie, such as above 1 for accuracies; to do so changes no coverage.
    """
    if len(values) == 1:
        return bootstrap_interval(values[0])
    low, high = t_interval(values)
    return float(low), float(high)


def t_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % intervals of the means of `values` [.., S, n], S at least 2, each [..].

    Student's t in units of the standard error; its quantile is that of S - 1 degrees of freedom and that of n - 1,
    averaged with the variances as weights (Cochran, Approximate significance levels of the Behrens-Fisher test,
    Biometrics 1964, there for the variances of two samples). Satterthwaite's degrees of freedom gave intervals too
    narrow for two seeds.
    """
    parts, mean = variance_parts(values), values.mean(axis=(-2, -1))
    half = _quantile(0.025, *parts, *values.shape[-2:]) * np.sqrt(sum(parts))
    return mean - half, mean + half


def variance_parts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the variance of the mean of `values` [.., S, n] that is due to seeds and that due to videos, each [..].

    The mean squares of a two-way layout without replication (Searle, Casella & McCulloch, Variance Components, 1992,
    Chapter 4). The part of the rest, 1 / (S n) of its variance, is counted with the seeds; the part of videos is not
    below 0. One video tells nothing of others: its part is infinite.
    """
    num_seeds, num_videos = values.shape[-2:]
    by_seed, by_video = values.mean(axis=-1), values.mean(axis=-2)  # (.., S), (.., n)
    of_seeds = by_seed.var(axis=-1, ddof=1) / num_seeds
    if num_videos == 1:
        return of_seeds, np.full_like(of_seeds, np.inf)
    rest = values - by_seed[..., None] - by_video[..., None, :] + values.mean(axis=(-2, -1), keepdims=True)
    of_rest = (rest**2).sum(axis=(-2, -1)) / ((num_seeds - 1) * (num_videos - 1)) / (num_seeds * num_videos)
    of_videos = by_video.var(axis=-1, ddof=1) / num_videos - of_rest
    return of_seeds, np.maximum(of_videos, 0)


def _quantile(
    tail: float | np.ndarray, of_seeds: np.ndarray, of_videos: np.ndarray, num_seeds: int, num_videos: int
) -> np.ndarray:
    """Return the quantile of `t_interval` that is exceeded with probability `tail`."""
    t_seeds, t_videos = -stdtrit(num_seeds - 1, tail), -stdtrit(max(num_videos - 1, 1), tail)
    total = of_seeds + of_videos
    with np.errstate(invalid="ignore", divide="ignore"):
        return t_videos + np.where((total > 0) & np.isfinite(total), of_seeds / total, 0) * (t_seeds - t_videos)


def p_value(values: np.ndarray) -> np.ndarray:
    """Return the two-sided p-values of the mean of `values` [.., S, n] being 0, S at least 2: the p for which the
    interval of 1 - p, see `t_interval`, just reaches 0. Shape [..], at least 2e-15."""
    parts, mean = variance_parts(values), np.abs(values.mean(axis=(-2, -1)))
    error = np.sqrt(sum(parts))
    low, high = np.full(mean.shape, math.log(1e-15)), np.full(mean.shape, math.log(0.5))  # of the tail
    for _ in range(60):
        middle = (low + high) / 2
        reaches = _quantile(np.exp(middle), *parts, *values.shape[-2:]) * error >= mean  # the tail is larger
        low, high = np.where(reaches, middle, low), np.where(reaches, high, middle)
    return np.where(mean == 0, 1.0, 2 * np.exp(low))


def probability_better(gained: np.ndarray, *, num_samples: int = 10_000, seed: int = 0) -> float:
    """Return the probability that one training of a network scores higher than one of another (Bouthillier et al.,
    Accounting for Variance in Machine Learning Benchmarks, MLSys 2021, Section 5).

    Both are trained with the same seed, drawn from those at hand, and tested on the same n videos, drawn from those at
    hand with replacement. Equal scores count half.

    Args:
        gained: whether the first is right less whether the second is: -1, 0 or 1, [S, n].
        num_samples: draws of videos for each seed.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    shares = np.stack([(gained == sign).mean(axis=1) for sign in (-1, 0, 1)], axis=1)  # (S, 3)
    lost, _, won = np.moveaxis(rng.multinomial(gained.shape[1], shares, size=(num_samples, len(gained))), -1, 0)
    return float((won > lost).mean() + (won == lost).mean() / 2)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number by Holm's step-down method (Holm, A simple sequentially rejective
    multiple test procedure, Scandinavian Journal of Statistics 1979).

    The i-th smallest of m is multiplied by m - i + 1, and is at least as large as those before. Rows whose corrected p
    is below 0.05 are different with an error of 5 % for the whole table, however the rows depend on each other.
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, row in enumerate(sorted(range(len(p_values)), key=lambda row: p_values[row])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[row]))
        corrected[row] = largest
    return corrected


def seeds_needed(differences: np.ndarray, *, effect: float = 0.01, power: float = 0.8) -> int:
    """Return how many seeds a paired t-test at 5 % needs to find a difference of `effect` with probability `power`.

    The smallest S for which the non-central t of S - 1 degrees of freedom at sqrt(S) effect / s exceeds the quantile
    of t (Cohen, Statistical Power Analysis, 1988, Section 2; for seeds: Colas et al., How Many Random Seeds?,
    arXiv:1806.08295). The videos are held fixed: for other videos than these, more seeds do not help.

    Args:
        differences: of two networks' accuracies with each seed, [S], of whose standard deviation s is an estimate.
        effect: the difference to be found.
        power: the probability.
    """
    relative = effect / max(float(np.std(differences, ddof=1)), 1e-6)
    count = max(2, math.ceil((ndtri(0.975) + ndtri(power)) ** 2 / relative**2))  # of the normal distribution, too few
    while nctdtr(count - 1, math.sqrt(count) * relative, -stdtrit(count - 1, 0.025)) > 1 - power:
        count += 1
    return count


def spread_range(num_seeds: int) -> tuple[float, float]:
    """Return the 95 % interval of a variance that was estimated from so many seeds, as factors of the estimate: S - 1
    over the quantiles of chi-squared, for a normal distribution. `seeds_needed` is proportional to the variance."""
    low, high = (num_seeds - 1) / chdtri(num_seeds - 1, np.array([0.025, 0.975]))
    return float(low), float(high)
