"""Abstaining, by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from matlens.evaluation.metrics.coverage import MOST_POINTS, coverage, supported


def two(confidences, right):
    """Two classes, all photos of the first."""
    first = np.where(right, confidences, 1 - np.asarray(confidences))
    return np.stack([first, 1 - first], axis=1), np.zeros(len(confidences), int)


def test_four_photos_by_hand():
    """Surest first: right, right, wrong, right. Risks of the first k: 0, 0, 1/3, 1/4. Best order: 0, 0, 0, 1/4."""
    found = coverage(*two([0.7, 0.9, 0.6, 0.8], [False, True, True, True]))
    assert found.aurc == pytest.approx((1 / 3 + 1 / 4) / 4)
    assert found.excess_aurc == pytest.approx(1 / 3 / 4)
    assert [(point.coverage, round(point.accuracy, 6), round(point.threshold, 6)) for point in found.curve] == [
        (0.25, 1, 0.9), (0.5, 1, 0.8), (0.75, round(2 / 3, 6), 0.7), (1, 0.75, 0.6)]
    assert found.coverage_at == {"0.9": 0.5, "0.95": 0.5, "0.99": 0.5}


def test_photos_of_equal_confidence_count_as_the_mean_of_all_orders():
    """Three photos that cannot be told apart, one of them wrong: no luck of order may make it look better."""
    right = [True, False, True, True]
    found = coverage(*two([0.9, 0.7, 0.7, 0.7], right))
    orders = [np.cumsum([0, *order]) / np.arange(1, 5) for order in permutations([1, 0, 0])]
    assert found.aurc == pytest.approx(np.mean(orders))
    assert [point.coverage for point in found.curve] == [0.25, 1]


def test_perfect_and_worthless():
    perfect, worthless = (coverage(*two([0.9, 0.8, 0.7], [share] * 3)) for share in (True, False))
    assert (perfect.aurc, perfect.excess_aurc, set(perfect.coverage_at.values())) == (0, 0, {1.0})
    assert (worthless.aurc, worthless.excess_aurc, set(worthless.coverage_at.values())) == (1, 0, {None})


def test_confidence_upside_down_is_the_worst_order():
    """The surest half is wrong: risks 1, 1, 2/3, 2/4 where the best order has 0, 0, 1/3, 2/4."""
    found = coverage(*two([0.9, 0.8, 0.7, 0.6], [False, False, True, True]))
    assert found.aurc == pytest.approx((1 + 1 + 2 / 3 + 1 / 2) / 4)
    assert found.excess_aurc == pytest.approx((1 + 1 + 1 / 3) / 4)


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    found = coverage(*two(np.linspace(0.51, 0.99, 5000), np.arange(5000) % 2 == 0))
    assert len(found.curve) == MOST_POINTS
    assert (found.curve[0].coverage, found.curve[-1].coverage, found.curve[-1].accuracy) == (1 / 5000, 1, 0.5)


def test_a_few_photos_tell_of_no_high_accuracy():
    """Of 24 photos, the surest one alone was told as "4.2 % of photos with 99 % right"."""
    told = {"0.9": 0.5, "0.95": 1 / 24, "0.99": None}
    assert supported(told, 24) == {0.9: 0.5}
    assert supported(told, 480) == {0.9: 0.5, 0.95: 1 / 24, 0.99: None}
    assert supported(told, 479) == {0.9: 0.5, 0.99: None}
