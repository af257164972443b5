"""What is taken out of a photo is taken out where it should, and filled as the equations say."""

from __future__ import annotations

import numpy as np
import pytest

from matlens.explanation.faithfulness.imputation import (
    NOISE,
    at_grid,
    blanked,
    blurred,
    first_cells,
    grid_of,
    harmonic,
    imputed,
    ranked,
    replaced,
)

RNG = np.random.default_rng(0)
WEIGHTS = {(a, b): 1 / 12 if a and b else 1 / 6 for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b}


def test_one_missing_value_is_the_weighted_mean_of_its_neighbours():
    """By hand: straight neighbours 1, 2, 3, 4 weigh 1/6 each, diagonal ones 12 weigh 1/12: 10/6 + 4 = 17/3."""
    values = np.array([[12, 1, 12], [2, 99, 3], [12, 4, 12]], np.float32)[..., None]
    mask = np.zeros((3, 3), bool)
    mask[1, 1] = True
    found = harmonic(values, mask)
    assert found[1, 1, 0] == pytest.approx(17 / 3)
    np.testing.assert_array_equal(found[~mask], values[~mask])


def test_at_a_corner_the_neighbours_inside_count_for_all():
    """By hand: 6 and 12 at 1/6, 3 at 1/12, divided by 5/12: (3 + 0.25) / (5 / 12) = 7.8."""
    values = np.array([[99, 6], [12, 3]], np.float32)[..., None]
    assert harmonic(values, np.array([[True, False], [False, False]]))[0, 0, 0] == pytest.approx(7.8)


@pytest.mark.parametrize("share", [0.2, 0.8, 0.97])
def test_many_missing_values_satisfy_all_equations_at_once(share):
    """Each is the mean of its neighbours, the missing ones among them: checked one by one."""
    values = RNG.random((9, 7, 3)).astype(np.float32)
    mask = RNG.random((9, 7)) < share
    found = harmonic(values, mask)
    np.testing.assert_array_equal(found[~mask], values[~mask])
    for y, x in np.argwhere(mask):
        around = [(weight, found[y + a, x + b]) for (a, b), weight in WEIGHTS.items()
                  if 0 <= y + a < 9 and 0 <= x + b < 7]
        expected = sum(weight * value for weight, value in around) / sum(weight for weight, _ in around)
        np.testing.assert_allclose(found[y, x], expected, atol=1e-5)


def test_where_all_is_missing_the_mean_remains():
    """No equation has a known side then; a division by zero must not come out."""
    values = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    np.testing.assert_allclose(harmonic(values, np.full((2, 2), True)), np.broadcast_to([4.5, 5.5, 6.5], (2, 2, 3)))


def test_a_filled_hole_in_a_plain_photo_is_plain_but_for_noise():
    """And what is not masked keeps every pixel."""
    photo = np.full((64, 64, 3), 100, np.uint8)
    photo[:8] = 200
    mask = np.zeros((32, 32), bool)
    mask[20:30, 10:20] = True
    found = imputed(photo, mask, np.random.default_rng(1))
    hole = np.zeros((64, 64), bool)
    hole[40:60, 20:40] = True
    np.testing.assert_array_equal(found[~hole], photo[~hole])
    rest = found[hole].astype(float) - 100
    assert abs(rest.mean()) < 0.5
    assert rest.std() == pytest.approx(255 * NOISE, rel=0.1)
    assert imputed(photo, np.zeros((32, 32), bool), np.random.default_rng(1)) is photo


def test_cells_become_pixels_also_where_they_do_not_divide_evenly():
    """A photo of 7 x 5 in 3 x 2 cells: rows 0-2, 3-4, 5-6 and columns 0-2, 3-4."""
    photo = np.zeros((7, 5, 3), np.uint8)
    mask = np.array([[False, True], [False, False], [True, False]])
    found = replaced(photo, mask, np.full_like(photo, 9))[..., 0]
    expected = np.zeros((7, 5))
    expected[:3, 3:] = expected[5:, :3] = 9
    np.testing.assert_array_equal(found, expected)


def test_the_hottest_cell_is_first_and_ties_are_broken_by_the_other_map():
    """Most of a heat map is 0: in the order of rows, 'the coldest' would be the bottom of the photo."""
    heat = np.array([[0, 0.5], [0, 1]], np.float32)
    order = ranked(heat, np.array([[0.1, 0], [0.9, 0]], np.float32))
    assert order.tolist() == [3, 1, 2, 0]
    np.testing.assert_array_equal(first_cells(order, 0.5, (2, 2)), [[False, True], [False, True]])
    assert first_cells(order, 0, (2, 2)).sum() == 0
    assert first_cells(order, 1, (2, 2)).sum() == 4


def test_nothing_is_imagenets_mean_and_blur_keeps_the_mean():
    """What deletion ends with, and what insertion begins with."""
    photo = RNG.integers(0, 256, (56, 56, 3), dtype=np.uint8)
    assert np.unique(blanked(photo).reshape(-1, 3), axis=0).tolist() == [[124, 117, 104]]
    soft = blurred(photo)
    assert soft.mean() == pytest.approx(photo.mean(), abs=3)
    assert soft.std() < photo.std() / 3


def test_the_grid_is_no_finer_than_the_photo():
    """Photos of 20 px have no 32 rows."""
    assert grid_of((224, 20)) == (32, 20)
    assert at_grid(np.ones((7, 7), np.float32), (32, 20)).shape == (32, 20)
