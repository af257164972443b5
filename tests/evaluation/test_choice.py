"""Which photos are shown, on six photos whose order is worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from matlens.evaluation.choice import (
    confident_mistakes,
    confused_pairs,
    drawn_evenly,
    unsure_hits,
    weakest_classes,
)
from matlens.evaluation.predictions import Predictions

# Photos 1, 3 and 5 are mistaken: 0 for 1 twice (0.7, 0.9), and 2 for 0 (0.6).
PREDICTIONS = Predictions(
    np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.5, 0.2], [0.05, 0.9, 0.05], [0.3, 0.3, 0.4], [0.6, 0.2, 0.2]],
             np.float32), np.array([0, 0, 1, 0, 2, 2]), tuple("abcdef"))


@pytest.mark.parametrize(("n", "of_class", "expected"), [(9, None, [3, 1, 5]), (2, None, [3, 1]), (9, 2, [5]),
                                                         (9, 1, [])])
def test_the_most_confident_mistakes_come_first(n, of_class, expected):
    """`--worst N`, and of one class."""
    assert confident_mistakes(PREDICTIONS, n, of_class) == expected


def test_the_least_confident_hits_come_first():
    """Right, but only just."""
    assert unsure_hits(PREDICTIONS, 2) == [4, 2]
    assert unsure_hits(PREDICTIONS, 9, 0) == [0]


def test_pairs_are_ordered_by_how_often_they_are_confused():
    """(true, answer), each with its photos."""
    assert confused_pairs(PREDICTIONS, 9) == [(0, 1, [3, 1]), (2, 0, [5])]
    assert confused_pairs(PREDICTIONS, 1) == [(0, 1, [3, 1])]


def test_photos_are_drawn_from_the_classes_in_turn_and_again_the_same():
    """A sample must not leave out a rare class, and repeat."""
    labels = np.repeat([0, 1, 2], [50, 3, 1])
    chosen = drawn_evenly(labels, 8)
    assert np.bincount(labels[chosen]).tolist() == [4, 3, 1]
    assert chosen == sorted(chosen) == drawn_evenly(labels, 8)
    assert chosen != drawn_evenly(labels, 8, seed=1)
    assert drawn_evenly(labels, 99) == list(range(54))


def test_of_many_photos_the_order_is_by_probability_and_then_by_place():
    """By plain sorting, with many equal probabilities."""
    rng = np.random.default_rng(0)
    rows = np.eye(3, dtype=np.float32)[rng.integers(3, size=400)] * rng.choice([0.5, 0.75, 0.9], (400, 1))
    predictions = Predictions(rows.astype(np.float32), rng.integers(3, size=400), tuple(map(str, range(400))))
    likely, right = rows.max(axis=1), rows.argmax(axis=1) == predictions.labels
    assert confident_mistakes(predictions, 50) == sorted(np.flatnonzero(~right), key=lambda i: (-likely[i], i))[:50]
    assert unsure_hits(predictions, 50) == sorted(np.flatnonzero(right), key=lambda i: (likely[i], i))[:50]
    assert sum(len(positions) for _, _, positions in confused_pairs(predictions, 9)) == (~right).sum()


def test_the_weakest_classes_are_those_with_the_lowest_f1():
    """Of class 1 none is right, and class 3 has neither photo nor answer, which is F1 0."""
    predictions = Predictions(np.eye(4, dtype=np.float32)[[0, 0, 2, 2, 2]], np.array([0, 0, 1, 2, 2]), tuple("abcde"))
    assert weakest_classes(predictions, 2) == [1, 3]
    assert weakest_classes(predictions, 9) == [0, 1, 2, 3]
