"""Superpixels follow the edges of a photo, cover all of it, and are alike for alike photos."""

from __future__ import annotations

import numpy as np
import pytest

from mapping.colour_model import halves
from matlens.mapping.pooling import Patches
from matlens.mapping.superpixels import superpixels


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 2), (40, 56), (7, 7)])
def test_each_pixel_has_a_superpixel_whatever_the_size(size):
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    segments = superpixels(photo, 8)
    assert segments.shape == size
    assert set(np.unique(segments)) == set(range(segments.max() + 1)), "numbers have no gaps"


@pytest.mark.parametrize("shape", [(90, 150), (700, 900)])
def test_no_superpixel_crosses_an_edge_of_colours(shape):
    """The larger photo is divided at a smaller size first."""
    photo = halves("red", "blue", *shape)
    photo[:, shape[1] // 2 - 5:shape[1] // 2 + 1] = photo[0, 0]  # the edge is no line of the grid
    segments, truth = superpixels(photo, 24), photo[..., 0] > 128
    shares = np.bincount(segments.ravel(), truth.ravel()) / np.bincount(segments.ravel())
    assert np.minimum(shares, 1 - shares).max() < 0.03
    assert np.array_equal(segments, superpixels(photo.copy(), 24))


def test_they_are_of_about_the_size_that_is_asked_for():
    photo = np.random.default_rng(1).integers(100, 110, (120, 240, 3), dtype=np.uint8)
    assert np.bincount(superpixels(photo, 12).ravel()).mean() == pytest.approx(144, rel=0.1)


def test_the_mean_of_features_over_a_superpixel_is_interpolated_between_places():
    """Features that grow evenly from place to place have at a superpixel the value of its middle."""
    photo = np.zeros((64, 96, 3), np.uint8)
    patches = Patches.of(photo, superpixels(photo, 16))
    rows, columns = np.mgrid[:8, :12].astype(np.float32)
    means = patches.means_of(np.stack([rows, columns], axis=2))
    inside = (patches.places > 8).all(axis=1) & (patches.places < np.array([56, 88])).all(axis=1)
    assert inside.sum() > 5
    assert np.abs(means - (patches.places / 8 - 0.5))[inside].max() < 0.3


def test_a_neighbourhood_is_of_like_colour_and_near():
    photo = halves("red", "blue")
    patches = Patches.of(photo, superpixels(photo, 16))
    weights = patches.neighbourhood(40)
    is_red = patches.colours[:, 1] > patches.colours[:, 1].mean()
    assert weights.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert weights[is_red][:, ~is_red].max() < 1e-6, "the other colour does not count"
    corner = int(patches.places.sum(axis=1).argmin())
    near, far = (patches.places[:, 0] + patches.places[:, 1] < 40), (patches.places[:, 0] > 70) & is_red
    assert weights[corner][near].max() > 2 * weights[corner][far].max()
