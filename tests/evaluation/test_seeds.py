"""What other seeds and other photos would give a method: by hand, against SciPy's t tests, and in simulation."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from builders import certain_predictions, drawn_predictions, results_of
from matlens.comparison.methods import JudgedMethod, infer
from matlens.errors import ResultsError
from matlens.evaluation.inference.seeds import (
    SeedScores,
    TwoWay,
    accuracy_of_seeds,
    difference_of_methods,
    scores_of_seeds,
)
from matlens.evaluation.intervals import wilson
from matlens.evaluation.metrics.weighted import photo_losses
from matlens.evaluation.part_predictions import SavedPredictions
from scale import rounds

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "simulate_seeds.py"


def single(right) -> SeedScores:
    """Photos that stand alone."""
    right = np.asarray(right, bool)
    return accuracy_of_seeds(right, np.arange(right.shape[1]))


def spread_of(values, photos=4) -> SeedScores:
    """Seeds that spread, on photos that say nothing."""
    return SeedScores(np.asarray(values, float), np.zeros((len(values), photos)), 1 / photos, photos)


def test_the_two_parts_of_the_variance_by_hand():
    """Seeds right on 3 and 2 of 4 photos.

    Seeds: the variance of .75 and .5 is 1/32, half of it 1/64. Photos: 1, .5, 1, 0 have the variance 11/48, a quarter
    is 11/192; single seeds have 1/16 and 1/12, on average 7/96 = 14/192. What both do together is 3/192, taken off
    once: 8/192.
    """
    two_way = single([[1, 1, 1, 0], [1, 0, 1, 0]]).two_way
    assert (two_way.seeds, two_way.photos) == pytest.approx((1 / 64, 1 / 24))
    assert (two_way.seed_df, two_way.photo_df) == (1, 3)
    assert two_way.variance == pytest.approx(11 / 192)


def test_the_parts_estimate_what_they_say():
    """Normal deviates with variances 4 of seeds, 9 of photos, 25 of both, 5 seeds and 12 photos: 4/5 + 25/60, 9/12."""
    rng, parts = np.random.default_rng(0), []
    for _ in range(1500):
        table = 2 * rng.normal(size=(5, 1)) + 3 * rng.normal(size=12) + 5 * rng.normal(size=(5, 12))
        scores = SeedScores(table.mean(axis=1), table, 1 / 12, 12)
        both = scores._of_both
        parts.append((scores.two_way.seeds, scores._of_all_photos - both, both))
    seeds, photos, both = np.mean(parts, axis=0)
    assert (seeds, photos) == pytest.approx((4 / 5 + 25 / 60, 9 / 12), rel=0.1)
    assert both == pytest.approx(25 / 60, rel=0.1)


def test_without_photos_to_vary_it_is_the_t_test_of_the_seeds():
    """SciPy's paired t for shared seeds, Welch's for others."""
    first, second = [0.81, 0.84, 0.80, 0.86], [0.79, 0.83, 0.80, 0.81]
    difference, two_way = difference_of_methods(spread_of(first), spread_of(second), shared_seeds=True)
    assert difference == pytest.approx(np.mean(first) - np.mean(second))
    assert two_way.p_value(difference) == pytest.approx(stats.ttest_rel(first, second).pvalue, rel=1e-9)
    difference, two_way = difference_of_methods(spread_of(first), spread_of(second[:3]), shared_seeds=False)
    welch = stats.ttest_ind(first, second[:3], equal_var=False)
    assert two_way.p_value(difference) == pytest.approx(welch.pvalue, rel=1e-9)
    assert two_way.seed_df == pytest.approx(welch.df)


def test_without_seeds_to_vary_it_is_the_t_test_of_the_photos():
    """Three seeds that answer alike are one: SciPy's paired t over photos."""
    rng = np.random.default_rng(1)
    first, second = rng.random(200) < 0.8, rng.random(200) < 0.7
    difference, two_way = difference_of_methods(single([first] * 3), single([second] * 3), shared_seeds=True)
    theirs = stats.ttest_rel(first.astype(float), second.astype(float))
    assert two_way.p_value(difference) == pytest.approx(theirs.pvalue, rel=1e-9)
    ends = theirs.confidence_interval(0.95)
    assert two_way.interval(difference) == pytest.approx((ends.low, ends.high))


def test_the_interval_reaches_zero_where_the_p_value_is_5_percent():
    """Else a table would call a difference real whose interval holds 0."""
    two_way = TwoWay(2e-4, 2, 1e-4, 430)
    half = math.hypot(*two_way.margins())
    assert two_way.p_value(half) == pytest.approx(0.05, rel=1e-9)
    assert two_way.p_value(-half * 1.01) < 0.05 < two_way.p_value(half * 0.99)
    assert (two_way.p_value(0), TwoWay(0, 2, 0, 9).p_value(0.1)) == (1, 1)


def test_copies_of_a_photo_count_once():
    """Each photo ten times, in a group: as sure as without the copies, not the square root of ten surer.

    But for the quarter of a poor group that may be missing among 60.
    """
    right = np.random.default_rng(2).random((3, 60)) < 0.8
    alone, copied = single(right), accuracy_of_seeds(np.repeat(right, 10, axis=1), np.repeat(np.arange(60), 10))
    assert copied.mean == pytest.approx(alone.mean)
    assert (copied.two_way.seeds, copied.two_way.photos) == pytest.approx((alone.two_way.seeds, alone.two_way.photos))
    assert copied.interval() == pytest.approx(alone.interval(), abs=1e-3)


def test_without_seeds_to_vary_the_interval_is_wilsons():
    """At the photos' number less 1 and Student's t: of 2,000 photos the same to four digits."""
    right = np.arange(2000) < 1900
    found, wilsons = single([right] * 4).interval(), wilson(1900, 2000)
    assert found == pytest.approx((wilsons.low, wilsons.high), abs=1e-4)


@pytest.mark.parametrize("hits", [(58, 60, 60), (1, 0, 0)])
def test_no_interval_reaches_beyond_what_a_share_can_be(hits):
    low, high = single([np.arange(60) < hit for hit in hits]).interval()
    assert 0 <= low < sum(hits) / 180 < high <= 1


def test_where_nothing_varies_no_certainty_is_claimed():
    """All seeds right on all photos."""
    assert single(np.ones((3, 50))).interval() is None


def trained(seed: int, n: int = 80, **changes: object):
    """A seed's answers to the same photos."""
    labels = np.arange(n) % 3
    return dataclasses.replace(drawn_predictions(n, 3, seed, labels=labels), **changes)


def test_metrics_without_a_closed_form_are_drawn():
    """Mean log loss has one, to compare with: the draws' variance scatters by 6 %."""
    judged = [trained(seed) for seed in (1, 2, 3)]
    scores = scores_of_seeds(judged)
    losses = np.array([photo_losses(answers.probabilities, answers.labels)[0] for answers in judged])
    drawn, exact = scores["log_loss"], SeedScores(losses.mean(axis=1), losses, 1 / 80, 80)
    assert drawn.values == pytest.approx(exact.values)
    assert drawn._of_photos(drawn.deviations[0]) == pytest.approx(exact._of_photos(losses[0]), rel=0.2)
    assert {"macro_f1", "macro_auc", "macro_precision", "macro_recall"} <= set(scores)
    low, high = scores["macro_f1"].interval()
    assert low < scores["macro_f1"].mean < high
    again = scores_of_seeds(judged)["macro_f1"]
    assert again.interval() == (low, high), "the same predictions give the same interval"


@pytest.mark.parametrize(("judged", "fact"), [
    ([trained(1)], "1 seed"), ([trained(1, 6), trained(2, 9)], "same photos"),
    ([trained(seed, together=np.zeros(80, np.int64)) for seed in (1, 2)], "1 group"),
    ([trained(seed, together=np.arange(80, dtype=np.int64) % 4) for seed in (1, 2)], "4 independent groups"),
    ([trained(seed, together=np.where(np.arange(80) % 3 == 1, 0, np.arange(80))) for seed in (1, 2)], "class 1 "),
    ([trained(seed, labels=np.where(np.arange(80) == 79, 2, np.arange(80) % 2), together=np.arange(80) // 2)
      for seed in (1, 2)], "class 2 ")])
def test_what_cannot_be_estimated_is_refused_with_the_reason(judged, fact):
    """One seed, other photos, one group, or groups that are classes: an interval would promise what nobody knows."""
    with pytest.raises(ResultsError, match=fact):
        scores_of_seeds(judged)


def test_answers_that_are_no_probabilities_have_the_metrics_that_they_can():
    """A model of others may answer with other numbers: no log loss, but accuracy."""
    labels = np.arange(30) % 2
    odd = dataclasses.replace(certain_predictions(labels, labels, 2), probabilities=np.eye(2, dtype=np.float32)[
        1 - labels] * -3)
    scores = scores_of_seeds([odd, odd])
    assert "log_loss" not in scores and scores["accuracy"].mean == 1


def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulate_seeds", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulate_seeds"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize(("photos", "seeds", "methods", "group"), [
    (431, 3, 2, 1), (431, 5, 2, 1), (431, 10, 2, 1), (5750, 3, 2, 1), (5750, 5, 2, 1), (5750, 10, 2, 1), (431, 3, 4, 1),
    (60, 3, 2, 1), (430, 3, 2, 5), (5750, 2, 2, 1),
    (60, 3, 2, 10), (431, 10, 2, 88), (880, 10, 2, 88)])
def test_equal_methods_are_rarely_told_apart_and_intervals_hold_the_truth(photos, seeds, methods, group):
    """Accuracies scatter by 1.2 points over seeds: at most 5 % false, at least 93 % covered, simulation error aside."""
    module, n = simulation(), rounds(150, 2000)
    outcome = module.simulate(module.Situation(photos, group), (seeds,), (methods,), n)[seeds]
    assert outcome.false[methods] / n <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / n)
    assert outcome.covered / outcome.estimable >= 0.93 - 2.5 * math.sqrt(0.05 * 0.95 / n)


def judged_method(folder: Path, name: str, wrong: int, together) -> JudgedMethod:
    """A method of three seeds, right on all but so many of 240 photos, and on two photos more or fewer by the seed."""
    results, saved, labels = {}, {}, np.arange(240) % 2
    for seed in (1, 2, 3):
        answers = np.where((np.arange(240) * 7) % 240 < wrong + 2 * seed, 1 - labels, labels)
        predictions = dataclasses.replace(certain_predictions(answers, labels, 2), together=together)
        file = predictions.write(folder / f"{name}_{seed}.npz")
        results[f"seed {seed}"] = results_of(name, float((answers == labels).mean()), 240, ("a", "b"))
        saved[f"seed {seed}"] = SavedPredictions(file)
    return JudgedMethod(name, results, saved, (), 0.2)


@pytest.mark.parametrize(("together", "tests"), [
    (np.arange(240), 1), (np.arange(240) // 20, 1), (np.arange(240) // 30, 0),
    (np.where(np.arange(240) < 160, 0, np.arange(240)), 0)], ids=["single", "12", "8", "one of 160 and 80 single"])
def test_methods_are_not_compared_on_photos_of_few_groups(tmp_path, together, tests):
    """Below 10 groups, counted by their sizes, none is called better, as no trained model is; a note says why."""
    found = infer("seeds", [judged_method(tmp_path, "first", 10, together),
                            judged_method(tmp_path, "second", 90, together)], same_photos=True)
    assert len(found.tests) == tests and set(found.scores) == {"first", "second"}
    assert len(found.notes) == 1 - tests and all("first and second" in note and "10" in note for note in found.notes)


def test_a_large_group_takes_degrees_of_freedom():
    """160 of 240 photos in one group: (240^2) / (160^2 + 80) groups of equal size, not 81."""
    group = np.maximum(np.arange(240) - 159, 0)
    scores = accuracy_of_seeds(np.random.default_rng(0).random((3, 240)) < 0.8, group)
    assert scores.two_way.photo_df == pytest.approx(240**2 / (160**2 + 80) - 1) and scores.together
