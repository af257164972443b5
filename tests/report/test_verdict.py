"""The verdict claims what the paired tests show, and no more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from builders import certain_predictions, results_of
from matlens.comparison.paired_test import p_cell
from matlens.comparison.table import Comparison, compare
from matlens.evaluation.part_predictions import SavedPredictions
from matlens.evaluation.results import Results
from matlens.report.sections.overview import IntervalPlot
from matlens.report.verdict import Verdict, accuracy_interval, verdict, weakest

N = 100


def judged(folder: Path, **wrong: set[int]) -> tuple[Comparison, dict[str, Results]]:
    """Models by name, and which of 100 photos each gets wrong; half of the photos are of either class."""
    labels = np.arange(N) % 2
    found, files = {}, {}
    for name, mistakes in wrong.items():
        answer = np.where(np.isin(np.arange(N), list(mistakes)), 1 - labels, labels)
        files[name] = SavedPredictions(certain_predictions(answer, labels, 2).write(folder / f"{name}_predictions.npz"))
        found[name] = results_of(name, 1 - len(mistakes) / N, N)
    return compare(found.values(), predictions=files), found


def said(folder: Path, **wrong: set[int]) -> Verdict:
    comparison, found = judged(folder, **wrong)
    return verdict(comparison, found[comparison.rows[0].model])


def test_a_real_lead_is_called_so(tmp_path: Path) -> None:
    """30 photos that a alone gets right, none that b does: p = 2 x 2^-30."""
    found = said(tmp_path, a=set(range(10)), b=set(range(40)))
    assert found.headline == "a is the best of 2 models"
    assert any(sentence.startswith("a is better than b by 30.0 points") for sentence in found.sentences)
    assert "90.0\u00a0% of 100 test photos" in found.sentences[0]


def test_a_lead_that_may_be_chance_is_none(tmp_path: Path) -> None:
    """6 photos for a, 4 for b: T = (6 - 4 - 1) / sqrt(10) = 0.316, whose two-sided p is 0.752 (0.754 exactly)."""
    found = said(tmp_path, a={0, 1, 2, 3}, b={4, 5, 6, 7, 8, 9})
    assert found.headline == "a leads, but is not significantly different from b"
    assert any("p = 0.752" in sentence and "would be needed" in sentence for sentence in found.sentences)


def test_a_small_lead_is_real_where_the_other_wins_nowhere(tmp_path: Path) -> None:
    """8 photos to none: p = 2 / 256. Intervals of both accuracies overlap widely, and two standard errors of
    independent samples would have been 10 points."""
    assert said(tmp_path, a=set(range(10)), b=set(range(18))).headline == "a is the best of 2 models"


def test_of_several_those_are_named_that_may_be_as_good(tmp_path: Path) -> None:
    found = said(tmp_path, a=set(range(10)), b=set(range(1, 13)), c=set(range(60)), d={*range(8), 90, 91, 92})
    assert found.headline == "a leads, but is not significantly different from d and b"
    assert not any("b is better than c" in sentence for sentence in found.sentences)  # that is for the comparison


def test_equally_good_models_share_the_first_place(tmp_path: Path) -> None:
    assert said(tmp_path, a={0, 1}, b={2, 3}).headline == "a and b are right equally often"


def test_without_predictions_no_lead_is_claimed(tmp_path: Path) -> None:
    found = {name: results_of(name, share) for name, share in (("a", 0.9), ("b", 0.5))}
    comparison = compare(found.values(), predictions={
        name: SavedPredictions(tmp_path / f"{name}.npz") for name in found})
    told = verdict(comparison, found["a"])
    assert told.headline == "a has the highest accuracy; whether it is better than b is not tested"
    assert any("b.npz" in sentence for sentence in told.sentences)


def test_one_model_alone_is_not_the_best_of_any(tmp_path: Path) -> None:
    found = said(tmp_path, a={0})
    assert found.headline == "a is right on 99.0\u00a0% of 100 test photos"
    assert not any("best" in sentence for sentence in found.sentences)


def test_no_interval_without_photos() -> None:
    row = compare([{"model_name": "m", "accuracy": 0.5}]).rows[0]
    assert accuracy_interval(row) is None


def test_the_scale_holds_all_intervals_and_ends_at_round_figures(tmp_path: Path) -> None:
    """Wilson's for 90 of 100 is 82.6 to 94.5 %, for 60 of 100 50.2 to 69.1 %."""
    plot = IntervalPlot.of(judged(tmp_path, a=set(range(10)), b=set(range(40)))[0])
    assert (plot.low, plot.high) == pytest.approx((0.5, 0.95))
    assert [plot.at(share) for share in (0.5, 0.725, 0.95)] == ["0.00", "50.00", "100.00"]


@pytest.mark.parametrize("wrong", [0, 100])
def test_the_scale_stays_within_shares(tmp_path: Path, wrong: int) -> None:
    plot = IntervalPlot.of(judged(tmp_path, a=set(range(wrong)))[0])
    assert 0 <= plot.low < plot.high <= 1


def test_the_scale_has_a_width_without_any_interval() -> None:
    found = results_of("m", 0.5, 0)
    plot = IntervalPlot.of(compare([found]))
    assert plot.low < plot.high


def test_no_p_value_is_zero() -> None:
    """No test is that sure."""
    assert [p_cell(value) for value in (0.0, 0.00099, 0.001, 0.5759)] == ["< 0.001", "< 0.001", "0.001", "0.576"]


@pytest.mark.parametrize(("second", "is_claimed"), [(3, False), (2, True)])
def test_the_pair_that_is_confused_most_is_named_where_there_is_one(second: int, is_claimed: bool) -> None:
    pairs = [{"true": "wood", "predicted": "glass", "photos": 3},
             {"true": "glass", "predicted": "wood", "photos": second}]
    (told,) = weakest(results_of(classes=("glass", "wood"), confused_pairs=pairs))
    assert "wood" in told and "glass" in told
    assert ("most often takes" in told) == is_claimed
