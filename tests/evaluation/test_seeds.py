"""Statistics over seeds and videos against simulated sweeps, counts by hand and draws. Shapes: S seeds, n videos."""

import itertools
import math

import numpy as np
import pytest

from nlvideo.evaluation import seeds
from tools.bench.coverage import Model, simulate

NUM_SWEEPS = 1000


@pytest.mark.parametrize("num_seeds", [2, 3, 5])
@pytest.mark.parametrize("of_seeds", [0.0, 0.1, 0.4])
def test_of_1000_simulated_sweeps_93_to_97_percent_of_the_intervals_hold_the_truth(num_seeds, of_seeds):
    sweeps = simulate(Model(of_seeds=of_seeds), NUM_SWEEPS, num_seeds, 100, seed=0)
    low, high = seeds.t_interval(sweeps.gained)
    assert 0.93 <= np.mean((low <= sweeps.truth) & (sweeps.truth <= high)) <= 0.97


def test_an_interval_over_videos_alone_does_not_hold_it():
    sweeps = simulate(Model(of_seeds=0.4), NUM_SWEEPS, 3, 100, seed=0)
    mean, error = sweeps.gained.mean(axis=(1, 2)), sweeps.gained.mean(axis=1).std(axis=1) / math.sqrt(100)
    assert np.mean(np.abs(mean - sweeps.truth) <= 1.96 * error) < 0.7


def test_a_table_without_differences_is_rarely_significant():
    """Of tables of 5 rows without any difference, 5 % have a row whose corrected p is below 0.05; without 20 %."""
    sweeps = simulate(Model(abilities=(0.5, 0.5), of_seeds=0.2), 5 * NUM_SWEEPS, 3, 60, seed=1)
    tables = seeds.p_value(sweeps.gained).reshape(NUM_SWEEPS, 5)
    wrong = np.mean([min(seeds.holm(p)) < 0.05 for p in tables])
    assert 0.03 <= wrong <= 0.07
    assert np.mean(tables.min(axis=1) < 0.05) > 0.12


def test_variance_parts_of_a_hand_count():
    values = np.array([[1.0, 2.0, 6.0], [3.0, 4.0, 8.0]])  # 2 more in the second seed, nothing else
    of_seeds, of_videos = seeds.variance_parts(values)
    assert of_seeds == pytest.approx(2.0 / 2)  # the variance of 3 and 5, over S
    assert of_videos == pytest.approx(7.0 / 3)  # the variance of 2, 3 and 7, over n
    values[1, 0] += 3  # a rest of +-0.5 and +-1
    of_rest = 4 * 0.5**2 + 2 * 1.0**2
    of_seeds, of_videos = seeds.variance_parts(values)
    assert of_seeds == pytest.approx(4.5 / 2)  # 3 and 6
    means = np.array([3.5, 3.0, 7.0])
    assert of_videos == pytest.approx(means.var(ddof=1) / 3 - of_rest / (1 * 2) / 6)


def test_p_is_the_level_at_which_the_interval_reaches_0():
    sweeps = simulate(Model(of_seeds=0.2), 200, 3, 60, seed=2)
    low, high = seeds.t_interval(sweeps.gained)
    p = seeds.p_value(sweeps.gained)
    assert 20 < (p < 0.05).sum() < 180
    np.testing.assert_array_equal(p < 0.05, (low > 0) | (high < 0))


def test_p_of_seeds_alone_is_that_of_students_t():
    values = np.array([0.1, 0.2, 0.6])[:, None].repeat(50, axis=1)  # no video differs from another
    t = 0.3 / (np.std(values[:, 0], ddof=1) / math.sqrt(3))
    assert seeds.p_value(values) == pytest.approx(1 - t / math.sqrt(2 + t**2))  # two degrees of freedom, closed form


def test_holm_by_hand():
    assert seeds.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert seeds.holm([0.9, 0.8]) == [1.0, 1.0]
    assert seeds.holm([]) == []


def test_the_probability_to_be_better_by_all_draws():
    gained = np.array([[1, 0, -1], [1, 1, 0]])
    draws = [sum(row[list(videos)]) for row in gained for videos in itertools.product(range(3), repeat=3)]
    expected = np.mean([(gain > 0) + (gain == 0) / 2 for gain in draws])
    assert seeds.probability_better(gained) == pytest.approx(expected, abs=0.01)
    assert seeds.probability_better(-gained) == pytest.approx(1 - expected, abs=0.01)


def test_so_many_seeds_find_a_difference_in_80_percent_of_the_sweeps():
    differences = np.array([0.0, 0.01, 0.02])  # standard deviation 0.01
    count = seeds.seeds_needed(differences)
    assert count == 10  # as tables of the paired t-test say for an effect of 1 standard deviation
    drawn = np.random.default_rng(3).normal(0.01, 0.01, size=(20_000, count))
    t = drawn.mean(axis=1) / (drawn.std(axis=1, ddof=1) / math.sqrt(count))
    assert 0.79 < np.mean(np.abs(t) > 2.262) < 0.83  # 97.5 % of t of nine degrees of freedom
    assert seeds.seeds_needed(4 * differences) > 12 * count
    assert seeds.spread_range(3) == pytest.approx((2 / 7.378, 2 / 0.05064), rel=1e-3)  # a table of chi-squared


def test_one_seed_and_one_video_say_what_they_know():
    rng = np.random.default_rng(4)
    ours, theirs = rng.random((1, 80)) < 0.8, rng.random((1, 80)) < 0.6
    one = seeds.difference(ours, theirs)
    assert (one.num_seeds, one.num_videos, one.seeds_needed) == (1, 80, None)
    assert (one.low, one.high) == seeds.bootstrap_interval(ours[0].astype(float) - theirs[0])
    assert one.p == seeds.mcnemar(ours[0], theirs[0])[2]
    one = seeds.difference(ours[:, :3].T, theirs[:, :3].T)  # three seeds, one video
    assert (one.low, one.high) == (-1.0, 1.0)
    assert one.p == pytest.approx(1.0)
