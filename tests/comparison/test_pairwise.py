"""Which differences are real: against SciPy, closed forms and simulations of models that are, and are not, alike."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from scipy import stats

from matlens.comparison.pairwise import pairwise
from matlens.evaluation.inference.groups import FEWEST_FOR_BETTER
from matlens.evaluation.inference.paired import mcnemar
from matlens.evaluation.inference.planning import MOST_TIMES, photos_needed
from matlens.evaluation.predictions import Predictions


def answering(right, paths=None, together=None) -> Predictions:
    """Two classes, every photo of the first: right where `right` says so."""
    right = np.asarray(right, bool)
    names = tuple(paths or map(str, range(len(right))))
    return Predictions(np.eye(2, dtype=np.float32)[np.where(right, 0, 1)], np.zeros(len(right), np.int64), names,
                       digests=names, together=None if together is None else np.asarray(together, np.int64))


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


def test_photos_needed_by_hand():
    """12 % for one, 8 % for the other: (1.95996 sqrt(.2) + .841621 sqrt(.2 - .0016))^2 / .0016 = 978.8."""
    assert photos_needed(0.12, 0.08) == 979
    assert photos_needed(0.08, 0.12) == 979
    assert photos_needed(0.1, 0.1) is None
    assert photos_needed(0.1, 0.0) == math.ceil((1.959964 * math.sqrt(0.1) + 0.841621 * math.sqrt(0.09)) ** 2 / 0.01)
    assert photos_needed(0.12, 0.08, alpha=0.01) > 979


def test_a_pair_by_hand():
    """Of 100 photos a alone is right on 12, b alone on 2: p = 2 (1 + 14 + 91) / 2^14; T = (12 - 2 - 1) / sqrt(14)."""
    (test,) = pairwise(table(70, 12, 2, 16)).tests
    assert (test.both_right, test.only_first, test.only_second, test.both_wrong, test.n_photos) == (70, 12, 2, 16, 100)
    assert test.difference == pytest.approx(0.1)
    assert test.p_value == pytest.approx(2 * 106 / 2**14)
    assert test.p_adjusted == pytest.approx(2 * stats.norm.sf(9 / math.sqrt(14)))
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
    assert f"about {math.ceil(test.photos_needed / 100) * 100:,} test photos" in test.sentence().lower()


def test_models_that_are_equally_often_right():
    alike, (same,) = pairwise(table(5, 3, 3, 1)).tests[0], pairwise(table(5, 0, 0, 5)).tests
    for test in (alike, same):
        assert (test.difference, test.p_value, test.photos_needed, test.is_real) == (0, 1, None, False)
        assert "right equally often" in test.sentence()
        assert test.interval.low == pytest.approx(-test.interval.high, abs=1e-9) and test.interval.low < 0
    assert alike.p_adjusted == same.p_adjusted == 1


def test_pairs_that_say_the_same_count_once():
    """Three models: b and c answer alike, so there is one difference: max-T knows, Holm does not."""
    models = table(70, 9, 1, 20) | {"c": table(70, 9, 1, 20)["b"]}
    first, second, third = pairwise(models).tests
    assert [(test.first, test.second) for test in (first, second, third)] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert first.p_adjusted == second.p_adjusted == pytest.approx(2 * stats.norm.sf(7 / math.sqrt(10)), abs=0.003)
    assert first.is_real and third.p_adjusted == 1
    assert pairwise(models).between("c", "a") == second


def test_pairs_on_other_photos_are_corrected_for_independently():
    """Two pairs, each on photos of its own: Sidak's correction, 1 - (1 - p)^2, holds in closed form."""
    models = table(70, 26, 11, 20)
    other = {name: answering(predictions.predicted == 0, [f"x{path}" for path in predictions.paths])
             for name, predictions in zip("cd", models.values(), strict=True)}
    tests = pairwise(models | other).tests
    assert [(test.first, test.second) for test in tests] == [("a", "b"), ("c", "d")]
    alone = math.erfc((26 - 11 - 1) / math.sqrt(26 + 11) / math.sqrt(2))
    assert tests[0].p_adjusted == pytest.approx(1 - (1 - alone) ** 2, abs=0.004)  # four standard errors of 20,000 draws


def test_intervals_and_p_values_cannot_disagree():
    """Of many drawn families an interval leaves out 0 exactly where its pair is called real."""
    rng = np.random.default_rng(0)
    seen = set()
    for trial in range(60):
        groups = np.arange(120) // (1 + trial % 6)
        hardness = rng.normal(size=(groups[-1] + 1, 1))[groups]
        right = hardness + rng.normal(size=(120, 4)) < [1.3, 0.8, 0.7, 0.2]
        for test in pairwise({name: answering(right[:, k], together=groups) for k, name in enumerate("abcd")}).tests:
            assert test.is_real == (not test.interval.low <= 0 <= test.interval.high) == (test.p_adjusted < 0.05)
            assert test.p_value < 0.05 or not test.is_real
            seen.add(test.is_real)
    assert seen == {True, False}


def test_photos_of_one_group_are_one_piece_of_evidence():
    """Each photo ten times over: the sign-flip test of groups is McNemar's of single photos, and so is the interval."""
    single = table(20, 12, 4, 24)
    tenfold = {name: answering(np.repeat(predictions.predicted == 0, 10), together=np.repeat(np.arange(60), 10))
               for name, predictions in single.items()}
    (one,), (grouped,) = pairwise(single).tests, pairwise(tenfold).tests
    assert grouped.p_value == pytest.approx(one.p_value, rel=1e-9)
    assert grouped.difference == one.difference
    assert (grouped.interval.low, grouped.interval.high) == pytest.approx((one.interval.low, one.interval.high))
    assert (grouped.n_groups, grouped.design_effect) == (60, 10)
    assert grouped.photos_needed == pytest.approx(10 * one.photos_needed, rel=0.01)
    assert grouped.needed.groups == pytest.approx(one.photos_needed, rel=0.01)
    assert "60 independent groups" in pairwise(tenfold).notes[0] and pairwise(single).notes == ()


def test_below_a_stated_number_of_groups_no_model_is_better():
    """Nine groups that all speak for one model: p = 2 / 2^9, and yet nine groups are too few to say so."""
    for count, real in ((FEWEST_FOR_BETTER - 1, False), (FEWEST_FOR_BETTER, True)):
        right = np.repeat([[True, False]], 20 * count, axis=0)
        right[::7] = True
        groups = np.repeat(np.arange(count), 20)
        (test,) = pairwise({name: answering(right[:, k], together=groups) for k, name in enumerate("ab")}).tests
        assert test.p_value == 2 / 2**count and test.is_real is real
        assert (str(FEWEST_FOR_BETTER) in test.sentence()) is not real


def test_one_group_that_holds_most_photos_is_not_many_groups():
    """A scene of 100 photos and 19 single ones, all of which speak for one model: worth 1.4 groups, none is better."""
    first, groups = np.ones(119, bool), np.r_[np.zeros(100), np.arange(1, 20)]
    (test,) = pairwise({"a": answering(first, together=groups), "b": answering(np.arange(119) < 100,
                                                                                together=groups)}).tests
    assert test.n_groups == 20 and test.effective_groups == pytest.approx(119**2 / (100**2 + 19))
    assert (test.interval, test.is_real, test.needed) == (None, False, None) and "1.4" in test.sentence()


@pytest.mark.parametrize("count", [4, 5, 9, 10, 19])
def test_groups_that_agree_by_chance_make_no_models_equivalent(count):
    """Each model is wrong on another photo of each group, so that all groups say 0: that is not within one point."""
    groups, photo = np.repeat(np.arange(count), 10), np.arange(10 * count) % 10
    (test,) = pairwise({"a": answering(photo != 0, together=groups), "b": answering(photo != 1, together=groups)},
                       margin=0.01).tests
    assert test.outcome == "undecided" and (test.interval is None) is (count < 5)
    (wide,) = pairwise({"a": answering(photo != 0, together=groups), "b": answering(photo != 1, together=groups)},
                       margin=0.6).tests
    assert wide.is_equivalent is (count >= FEWEST_FOR_BETTER)


@pytest.mark.parametrize("count", [3, 9, 10, 30])
def test_a_plan_asks_for_more_photos_than_there_are_or_for_none(count):
    """Below ten groups no number is planned; above, photos that did not tell two apart are not enough."""
    rng, groups = np.random.default_rng(count), np.repeat(np.arange(count), 6)
    for _ in range(30):
        right = rng.random((6 * count, 2)) < [0.9, 0.75]
        (test,) = pairwise({name: answering(right[:, k], together=groups) for k, name in enumerate("ab")}).tests
        assert test.needed is None or count >= FEWEST_FOR_BETTER
        if test.needed is not None and test.needed.photos is not None:
            assert test.needed.photos > 6 * count and test.needed.groups > count


def test_one_group_tells_nothing_of_a_difference():
    (test,) = pairwise({"a": answering([1, 1, 1], together=[4] * 3), "b": answering([1, 0, 0], together=[4] * 3)}).tests
    assert (test.p_value, test.interval, test.is_real, test.n_groups) == (1, None, False, 1)


def test_groups_that_only_one_of_two_knows_count_for_both():
    """Predictions that were imported without groups do not make photos of one scene independent."""
    right = np.repeat([True, False], 30)
    groups = np.arange(60) // 2
    for first, second in ((groups, None), (None, groups), (groups, np.arange(60) // 3)):
        (test,) = pairwise({"a": answering(right, together=first), "b": answering(~right, together=second)}).tests
        assert test.n_groups == (10 if first is not None and second is not None else 30)


def test_a_margin_turns_no_difference_into_equivalent_or_undecided():
    large, small = table(9_000, 130, 120, 750), table(90, 3, 2, 5)
    assert [pairwise(models, margin=0.01).tests[0].outcome for models in (large, small)] == ["equivalent", "undecided"]
    (test,) = pairwise(large, margin=0.01).tests
    assert max(-test.interval.low, test.interval.high) < 0.01 and "within 1.0 points" in test.sentence()
    (real,) = pairwise(table(700, 30, 5, 265), margin=0.1).tests
    assert real.outcome == "better" and real.is_equivalent and "within 10.0" in real.outcome_in_words
    assert pairwise(large).tests[0].outcome == "undecided"
    assert "margin" not in pairwise(large).tests[0].to_json()


def test_no_number_of_photos_that_nobody_can_take():
    """1 in 20,000 photos makes the difference: hundreds of millions would show it, which is no advice."""
    (test,) = pairwise(table(18_000, 501, 500, 999)).tests
    assert test.photos_needed is None and test.needed.fewest is not None
    assert f"more than {20_000 * MOST_TIMES:,}" in test.sentence().lower() and "more than" in test.needed_in_words


def test_photos_needed_has_a_range():
    """At one standard error more, or less, of difference: 40 of 1,000 by 12 and 8 % give e = 4 +- 1.41 points."""
    (test,) = pairwise(table(500, 60, 40, 400)).tests
    error = math.sqrt((0.1 - 0.02**2) / 1000)
    assert test.needed.fewest == pytest.approx(needed_at(0.1, 0.02 + error), rel=0.03)
    assert test.needed.most == pytest.approx(needed_at(0.1, 0.02 - error), rel=0.03)
    assert pairwise(table(500, 51, 49, 400)).tests[0].needed.most is None


def needed_at(apart: float, difference: float) -> int:
    """Photos needed of a share of photos that tell two models apart, and a difference."""
    return photos_needed((apart + difference) / 2, (apart - difference) / 2)


def test_a_verdict_of_one_seed_says_what_another_may_change():
    """sqrt(error / 2n), by hand: 200 photos, 46 % wrong: 3.4 points."""
    (test,) = pairwise(table(100, 12, 8, 80)).tests
    assert test.seed_spread == pytest.approx(math.sqrt(0.46 / 400))
    assert test.sentence().endswith("another seed may move either by about 3.4 points.")


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


def test_a_null_difference_is_called_real_in_at_most_5_of_100():
    """Exactly: given m photos that tell two equal models apart, P(p < 0.05) summed over all splits."""
    for m in (5, 6, 20, 60, 300):
        probability = sum(math.comb(m, b) / 2**m for b in range(m + 1)
                          if pairwise(table(0, b, m - b, 0)).tests[0].p_adjusted < 0.05)
        assert probability <= 0.05
        assert probability > (0.02 if m >= 20 else -1)  # and it is not idle


@pytest.mark.slow
@pytest.mark.parametrize("first, second", [(0.12, 0.08), (0.05, 0.02)])
def test_so_many_photos_do_show_the_difference(first, second):
    """Power of McNemar's test at the number given, 4,000 test parts: 80 %, less what an exact test loses (up to 5)."""
    n = photos_needed(first, second)
    drawn = np.random.default_rng(4).multinomial(n, [first, second, 1 - first - second], size=4000)
    test = cache(mcnemar)
    power = np.mean([test(int(b), int(c)) < 0.05 for b, c, _ in drawn])
    assert 0.75 < power < 0.82
