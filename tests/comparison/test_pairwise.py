"""Which differences are real: against SciPy, closed forms and simulations of models that are, and are not, alike."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from scipy import stats

from matlens.comparison.pairwise import difference_interval, holm, mcnemar, pairwise, photos_needed
from matlens.evaluation.predictions import Predictions


def answering(right, paths=None) -> Predictions:
    """Two classes, every photo of the first: right where `right` says so."""
    right = np.asarray(right, bool)
    return Predictions(np.eye(2, dtype=np.float32)[np.where(right, 0, 1)], np.zeros(len(right), np.int64),
                       tuple(paths or map(str, range(len(right)))))


def table(both: int, first: int, second: int, neither: int) -> dict[str, Predictions]:
    left, other = [1, 1, 0, 0], [1, 0, 1, 0]
    counts = [both, first, second, neither]
    return {"a": answering(np.repeat(left, counts)), "b": answering(np.repeat(other, counts))}


@pytest.mark.parametrize("first, second", [(0, 0), (1, 0), (5, 5), (9, 2), (2, 9), (120, 80)])
def test_mcnemars_test_is_scipys_binomial_one(first, second):
    expected = stats.binomtest(first, first + second, 0.5).pvalue if first + second else 1
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_by_hand():
    """Six photos tell the two apart, all for the first: 2 / 2^6."""
    assert mcnemar(6, 0) == 1 / 32


def test_holm_by_hand():
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, never falling: 0.02, 0.03, 0.06, 0.06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_photos_needed_by_hand():
    """12 % for one, 8 % for the other: (1.95996 sqrt(.2) + .841621 sqrt(.2 - .0016))^2 / .0016 = 978.8."""
    assert photos_needed(0.12, 0.08) == 979
    assert photos_needed(0.08, 0.12) == 979
    assert photos_needed(0.1, 0.1) is None
    assert photos_needed(0.1, 0.0) == math.ceil((1.959964 * math.sqrt(0.1) + 0.841621 * math.sqrt(0.09)) ** 2 / 0.01)
    assert photos_needed(0.12, 0.08, alpha=0.01) > 979


def test_the_difference_interval_is_scipys():
    """Photos of 1, -1 and 0, resampled by SciPy; both have 20,000 draws."""
    each = np.repeat([1.0, -1.0, 0.0], [40, 20, 140])
    theirs = stats.bootstrap((each,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(0))
    ours = difference_interval(200, 40, 20, draws=20_000)
    assert ours.method == "bca"
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.006)
    assert difference_interval(200, 0, 0) is None
    assert difference_interval(1, 1, 0) is None


def test_a_pair_by_hand():
    """Of 100 photos a alone is right on 12, b alone on 2: p = 2 (1 + 14 + 91) / 2^14."""
    (test,) = pairwise(table(70, 12, 2, 16)).tests
    assert (test.both_right, test.only_first, test.only_second, test.both_wrong, test.n_photos) == (70, 12, 2, 16, 100)
    assert test.difference == pytest.approx(0.1)
    assert test.p_value == test.p_holm == pytest.approx(2 * 106 / 2**14)
    assert test.is_real and test.photos_needed is None
    assert test.interval.low > 0
    assert test.sentence().startswith("a is better than b by 10.0 points (")
    assert test.to_json()["is_real"] is True


def test_the_sentence_names_the_better_one_and_its_range_from_its_side():
    (test,) = pairwise(table(70, 2, 12, 16)).tests
    low, high = test.interval.low, test.interval.high
    assert test.sentence().startswith(f"b is better than a by 10.0 points ({-100 * high:.1f} to {-100 * low:.1f})")


def test_a_pair_that_is_not_told_apart_says_what_it_takes():
    (test,) = pairwise(table(80, 12, 8, 100)).tests
    assert not test.is_real
    assert test.photos_needed == photos_needed(0.06, 0.04) > 200
    assert f"about {math.ceil(test.photos_needed / 100) * 100:,} test photos would show it" in test.sentence()


def test_models_that_are_equally_often_right():
    alike, (same,) = pairwise(table(5, 3, 3, 1)).tests[0], pairwise(table(5, 0, 0, 5)).tests
    for test in (alike, same):
        assert (test.difference, test.p_value, test.photos_needed, test.is_real) == (0, 1, None, False)
        assert "right equally often" in test.sentence()
    assert alike.interval.low < 0 < alike.interval.high and same.interval is None


def test_pairs_are_corrected_together():
    """Three models: b and c answer alike, a is better than both by the same photos: p, p, 1 becomes 3 p, 3 p, 1."""
    models = table(70, 9, 1, 20) | {"c": table(70, 9, 1, 20)["b"]}
    first, second, third = pairwise(models).tests
    assert [(test.first, test.second) for test in (first, second, third)] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert first.p_holm == second.p_holm == pytest.approx(3 * mcnemar(9, 1))
    assert mcnemar(9, 1) < 0.05 < first.p_holm
    assert first.photos_needed == photos_needed(0.09, 0.01, alpha=0.05 / 3)
    assert pairwise(models).between("c", "a") == second


def test_photos_in_another_order_are_matched_by_name():
    first = answering([1, 0, 0], ["x", "y", "z"])
    second = answering([0, 1, 1], ["z", "x", "y"])
    (test,) = pairwise({"a": first, "b": second}).tests
    assert (test.both_right, test.only_first, test.only_second, test.both_wrong) == (1, 0, 1, 1)


@pytest.mark.parametrize("other, hashes", [
    (answering([1, 1], ["0", "9"]), {}), (answering([1, 1, 1]), {}), (answering([1, 1]), {"a": "x", "b": "y"}),
    (Predictions(np.eye(2, dtype=np.float32), np.array([0, 1]), ("0", "1")), {}),
    (answering([1, 1], ["0", "0"]), {})], ids=["photos", "number", "split", "labels", "twice"])
def test_other_photos_are_refused_and_said(other, hashes):
    found = pairwise({"a": answering([1, 0]), "b": other}, hashes)
    assert found.tests == ()
    assert found.refused == ("a and b were not judged on the same photos of the same split, so they cannot be compared "
                             "photo by photo.",)


def test_those_on_the_same_photos_are_compared_all_the_same():
    found = pairwise({"a": answering([1, 0]), "b": answering([1]), "c": answering([1, 1])})
    assert [(test.first, test.second) for test in found.tests] == [("a", "c")]
    assert len(found.refused) == 2


def alike(rng, shape, models: int, n: int):
    """Photos of many simulated test parts that models of equal accuracy get right: (*shape, models, n) bool."""
    hardness = rng.normal(size=(*shape, 1, n))
    return hardness + rng.normal(size=(*shape, models, n)) < 0.8


def test_a_null_difference_is_called_real_in_at_most_5_of_100():
    """McNemar's test, exactly: given m photos that tell two equal models apart, P(p < 0.05) summed over all splits."""
    for m in (5, 6, 20, 60, 300):
        probability = sum(math.comb(m, b) / 2**m for b in range(m + 1) if mcnemar(b, m - b) < 0.05)
        assert probability <= 0.05
        assert probability > (0.02 if m >= 20 else -1)  # and it is not idle


@pytest.mark.slow
def test_false_positives_of_four_equal_models_in_simulation():
    """2,000 test parts of 431 photos, four equally good models that find the same photos hard.

    A family of six tests should call any difference real in at most 5 % (0.5 points of standard error); a pair's
    interval should leave out 0 in 5 % of pairs, give or take 2.
    """
    rng, pairs = np.random.default_rng(2), [(i, j) for i in range(4) for j in range(i)]
    p_of, interval_of = cache(mcnemar), cache(lambda b, c: difference_interval(431, b, c, draws=1000))
    families = apart = 0
    for _ in range(2000):
        right = alike(rng, (), 4, 431)
        counts = [(int((right[i] & ~right[j]).sum()), int((right[j] & ~right[i]).sum())) for i, j in pairs]
        families += min(holm([p_of(*count) for count in counts])) < 0.05
        interval = interval_of(*counts[0])
        apart += not interval.low <= 0 <= interval.high
    assert 0.005 < families / 2000 < 0.05 + 3 * 0.005
    assert apart / 2000 == pytest.approx(0.05, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("first, second", [(0.12, 0.08), (0.05, 0.02)])
def test_so_many_photos_do_show_the_difference(first, second):
    """Power of McNemar's test at the number given, 4,000 test parts: 80 %, less what an exact test loses (up to 5)."""
    n = photos_needed(first, second)
    drawn = np.random.default_rng(4).multinomial(n, [first, second, 1 - first - second], size=4000)
    test = cache(mcnemar)
    power = np.mean([test(int(b), int(c)) < 0.05 for b, c, _ in drawn])
    assert 0.75 < power < 0.82
