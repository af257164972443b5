"""Tests and intervals of two models on the same photos: against published values, closed forms and all permutations."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from matlens.evaluation.inference.groups import Groups
from matlens.evaluation.inference.paired import difference_interval, mcnemar, sign_flip, tango
from matlens.evaluation.inference.simultaneous import Family, group_interval, simultaneous

# Sums over groups of which is right: first less second. The groups have 2 to 5 photos.
SUMS = np.array([2, -1, 3, 0, 1, 1, -2, 4, 1, 0, 2, -1])
SIZES = np.array([3, 2, 5, 2, 3, 4, 2, 5, 3, 3, 4, 2])


@pytest.mark.parametrize(("b", "c", "n", "confidence", "low", "high"), [
    (1, 7, 21, 0.95, -0.517, -0.026),  # airway hyper-responsiveness: Fagerland, Lydersen and Laake 2014
    (28, 25, 618, 0.90, -0.0148, 0.0247)], ids=["Fagerland 2014", "R: PropCIs::scoreci.mp(25, 28, 618)"])
def test_tangos_interval_is_the_published_one(b, c, n, confidence, low, high):
    reach = stats.norm.ppf((1 + confidence) / 2)
    assert tango(b, c, n, reach) == pytest.approx((low, high), abs=6e-4 if low == -0.517 else 6e-5)


def test_tangos_interval_at_the_ends_of_what_is_possible():
    """No photo tells the two apart: the score test refuses d where n d^2 / (d + d (1 - d) ...) > z^2; by symmetry."""
    low, high = tango(0, 0, 50)
    assert low == pytest.approx(-high)
    assert high == pytest.approx(1.96**2 / (50 + 1.96**2), rel=1e-3)  # Wilson's of 0 in 50
    assert tango(50, 0, 50)[1] == 1 and tango(0, 50, 50)[0] == -1


def test_at_zero_tangos_test_is_mcnemars():
    """The interval ends at 0 where McNemar's statistic (b - c) / sqrt(b + c) is the reach."""
    assert tango(20, 9, 300, reach=11 / math.sqrt(29))[0] == pytest.approx(0, abs=1e-9)
    assert tango(9, 20, 300, reach=11 / math.sqrt(29))[1] == pytest.approx(0, abs=1e-9)


def test_the_sign_flip_test_is_that_of_all_signs():
    flipped = [abs(np.dot(signs, SUMS)) for signs in product((1, -1), repeat=len(SUMS))]
    assert sign_flip(SUMS) == pytest.approx(np.mean([total >= SUMS.sum() for total in flipped]), rel=1e-12)
    assert sign_flip(-SUMS) == sign_flip(SUMS)
    assert sign_flip([3, -3]) == sign_flip([0, 0]) == 1
    assert sign_flip([5]) == 1  # one group


@pytest.mark.parametrize(("b", "c"), [(6, 0), (9, 2), (120, 80), (3, 3), (0, 0), (1500, 1400)])
def test_of_single_photos_the_sign_flip_test_is_mcnemars(b, c):
    assert sign_flip([1] * b + [-1] * c) == pytest.approx(mcnemar(b, c), rel=1e-9)


def test_the_statistic_of_groups_is_obuchowskis_and_of_equal_groups_durkalskis():
    """T^2 = (sum d)^2 / sum d^2: Obuchowski 1998 has it times (K - 1) / K; Durkalski et al. 2003 take means of groups.

    Both as in R's clust.bin.pair. The exact test of many groups agrees with either.
    """
    def durkalski(sizes):
        return (SUMS / sizes).sum() ** 2 / ((SUMS / sizes) ** 2).sum()

    (t,) = Family(SUMS[:, None].astype(float), ((0, None),)).statistics()
    groups = len(SUMS)
    obuchowski = (groups - 1) / groups * SUMS.sum() ** 2 / (SUMS**2).sum()
    assert t**2 == pytest.approx(obuchowski * groups / (groups - 1)) == pytest.approx(durkalski(np.full(groups, 3)))
    many = np.tile(SUMS, 20) * np.where(np.arange(240) % 5 == 0, 1, np.where(np.arange(240) % 2, 1, -1))
    z = many.sum() / math.sqrt((many**2).sum())
    assert sign_flip(many) == pytest.approx(2 * stats.norm.sf(abs(z)), abs=0.03)  # half a step of whole numbers


def test_of_groups_of_equal_size_the_interval_is_the_t_interval():
    """scipy's t interval of the groups' means, at the reach that corresponds: c = t sqrt(G / (G - 1 + t^2))."""
    means, groups = SUMS / 3, len(SUMS)
    t = stats.t.ppf(0.975, groups - 1)
    found = group_interval(SUMS.astype(float), np.full(groups, 3.0), t * math.sqrt(groups / (groups - 1 + t**2)))
    theirs = stats.t.interval(0.95, groups - 1, means.mean(), stats.sem(means))
    assert (found.low, found.high) == pytest.approx(theirs)


def test_too_few_groups_have_no_interval():
    """T is at most sqrt(G), which must exceed 1.96: three groups refuse nothing."""
    assert group_interval(np.array([1.0, 2.0, 1.5]), np.ones(3)) is None
    assert group_interval(np.array([1.0, 2.0, 1.5, 2.0]), np.ones(4)) is not None
    assert difference_interval(Groups.of([1, 1, 1]), np.ones(3), np.zeros(3)) is None


def test_the_design_effect_divides_the_counts():
    """Every photo thrice: the same interval as of the photos themselves."""
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 100)) < [[0.8], [0.7]]
    single = difference_interval(Groups.single(100), first.astype(float), second.astype(float))
    thrice = difference_interval(Groups.of(np.repeat(np.arange(100), 3)), np.repeat(first, 3).astype(float),
                                 np.repeat(second, 3).astype(float))
    assert (thrice.low, thrice.high) == pytest.approx((single.low, single.high), abs=1e-9)


def test_groups_in_which_differences_cancel_out_tell_of_no_difference():
    """Thirty groups, each with one photo for either model: no difference, and an interval that is not a point."""
    first = np.tile([1.0, 0.0, 1.0], 30)
    second = np.tile([0.0, 1.0, 1.0], 30)
    found = difference_interval(Groups.of(np.repeat(np.arange(30), 3)), first, second)
    assert found.low == pytest.approx(-found.high, abs=1e-9) and found.high > 0.1


def test_the_reach_of_several_is_tukeys():
    """All pairs of K equally scattered things: the studentised range of infinitely many degrees, over sqrt 2."""
    sums = np.random.default_rng(1).normal(size=(4000, 4))
    pairs = tuple((i, j) for i in range(4) for j in range(i))
    found = simultaneous([Family(sums, pairs)])
    assert found.reach == pytest.approx(stats.studentized_range.ppf(0.95, 4, np.inf) / math.sqrt(2), abs=0.04)
    t = np.abs(Family(sums, pairs).statistics())
    expected = stats.studentized_range.sf(t * math.sqrt(2), 4, np.inf)
    assert found.p_values[0] == pytest.approx(expected, abs=0.03)


def test_of_one_pair_the_reach_is_that_of_the_normal_distribution():
    found = simultaneous([Family(np.array([[1.0], [2.0], [0.5], [-1.0]]), ((0, None),))])
    assert found.reach == pytest.approx(1.959964, abs=1e-6)
    assert found.p_values[0] == pytest.approx(2 * stats.norm.sf(2.5 / math.sqrt(6.25)))


@pytest.mark.parametrize("count", [5, 10, 19, 20])
def test_groups_that_all_say_the_same_leave_an_interval_with_a_width(count):
    """Each group one photo for either model; and each group one photo for the first. How others scatter is unknown."""
    groups = Groups.of(np.repeat(np.arange(count), 10))
    first, second = (np.arange(10 * count) % 10 != wrong for wrong in (0, 1))
    level = difference_interval(groups, first.astype(float), second.astype(float))
    assert (level.low, level.high) == pytest.approx(tango(count / 10, count / 10, count))  # each group is one photo
    ahead = difference_interval(groups, np.ones(10 * count), first.astype(float))
    assert (ahead.low, ahead.high) == pytest.approx(tango(count, 0, 10 * count))
    assert ahead.low > 0  # as the statistic of groups, sqrt(count), exceeds 1.96


@pytest.mark.parametrize("count", [12, 40])
def test_groups_in_which_nearly_all_cancels_out_make_no_difference_surer(count):
    """One group of all has one photo more for the first: no interval is narrower than that of independent photos."""
    first = np.tile([1.0, 0.0] * 5, count)
    second = 1 - first
    second[1], n = 0.0, 10 * count
    found = difference_interval(Groups.of(np.repeat(np.arange(count), 10)), first, second)
    low, high = tango(n / 2, n / 2 - 1, n)
    assert found.low <= low + 1e-9 and found.high >= high - 1e-9
    family = Family(np.array([[1.0]] + [[0.0]] * (count - 1)), ((0, None),), (first - second)[:, None])
    assert family.statistics() == pytest.approx(1 / math.sqrt(n - 1))


def test_no_difference_reaches_beyond_100_points_or_is_given_of_few_groups():
    """Six groups, five of one photo, one of four: the t interval alone ends beyond 100 points."""
    groups = Groups.of([0, 1, 2, 3, 4, 5, 5, 6, 6])
    first, second = np.array([1.0, 1, 1, 1, 1, 0, 0, 1, 1]), np.zeros(9)
    second[5:7] = 1
    alone = group_interval(groups.sums(first - second), groups.sizes, 2.4)
    found = difference_interval(groups, first, second, 2.4)
    assert alone.high > 1 and found.high == 1 and found.low >= -1
    assert difference_interval(Groups.of(np.arange(40) % 4), np.ones(40), np.arange(40) % 3 > 0) is None
