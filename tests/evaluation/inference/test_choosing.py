"""What choosing costs: against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from matlens.evaluation.inference.choosing import winners_optimism
from matlens.evaluation.inference.groups import Groups
from matlens.evaluation.inference.planning import seed_spread


def right_answers(n: int, models: int, seed: int = 0) -> np.ndarray:
    """Independent answers of models that are right on exactly 80 % of the photos."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(np.arange(n) < 0.8 * n) for _ in range(models)], axis=1).astype(float)


@pytest.mark.parametrize(("models", "largest"), [(2, 0.5642), (10, 1.5388)])
def test_the_best_of_equal_models_is_too_high_by_the_mean_of_the_largest_of_normal_numbers(models, largest):
    """largest: the expected largest of so many standard normal numbers (tabulated: 1 / sqrt(pi), 1.53875)."""
    found = winners_optimism(Groups.single(1000), right_answers(1000, models), draws=20_000)
    assert found.models == models
    assert found.expected == pytest.approx(largest * math.sqrt(0.8 * 0.2 / 1000), rel=0.06)


def test_models_that_answer_alike_cost_nothing_to_choose_among():
    right = np.repeat(right_answers(400, 1), 8, axis=1)
    assert winners_optimism(Groups.single(400), right).expected == pytest.approx(0, abs=1e-9)
    assert winners_optimism(Groups.single(400), right[:, :1]).expected == 0


def test_where_one_model_is_far_ahead_there_is_hardly_a_choice():
    right = np.stack([np.arange(1000) < 950, np.arange(1000) >= 400], axis=1).astype(float)
    assert winners_optimism(Groups.single(1000), right).expected < 0.001


def test_copies_make_the_choice_no_safer():
    """Each photo ten times over: the same optimism, of many groups and of few."""
    for n in (300, 15):
        right = right_answers(n, 5)
        once = winners_optimism(Groups.single(n), right, draws=20_000).expected
        tenfold = winners_optimism(Groups.of(np.repeat(np.arange(n), 10)), np.repeat(right, 10, axis=0), draws=20_000)
        assert tenfold.expected == pytest.approx(once, rel=0.08)


def test_few_groups_do_not_tell_what_choosing_costs():
    right = right_answers(60, 3)
    assert winners_optimism(Groups.of(np.arange(60) % 4), right) is None
    assert winners_optimism(Groups.of(np.arange(60) % 5), right) is not None


def test_the_spread_of_seeds_is_that_of_calibrated_runs():
    """Two classes, runs that answer 1 with chance p on photos that are 1 with chance p: variance err / 2 per photo."""
    rng = np.random.default_rng(0)
    chance = rng.beta(0.5, 0.5, 600)
    labels = rng.random(600) < chance
    accuracy = ((rng.random((4000, 600)) < chance) == labels).mean(axis=1)
    assert accuracy.std() == pytest.approx(seed_spread(1 - accuracy.mean(), 600), rel=0.08)


def test_no_mistake_among_few_photos_is_no_promise_of_another_seed():
    assert seed_spread(0.0, 6) == seed_spread(1 / 6, 6) > 0.1
    assert seed_spread(0.3, 600) == pytest.approx((0.3 / 1200) ** 0.5)
