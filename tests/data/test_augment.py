"""Augmentation against closed forms: shapes, range, known pixels, known angles."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from by_device import by_a_device
from hypothesis import given, settings
from hypothesis import strategies as st

from matlens.data.pixels.augment import augment, drawn_variation, generator_of


class Scripted:
    """A generator that answers with given shares of each range: 0 its start, 0.5 its middle, 1 its end."""

    def __init__(self, flip: float = 0.9, angle: float = 0.5, zoom: float = 0.5, down: float = 0.5,
                 right: float = 0.5, contrast: float = 0.5) -> None:
        self.shares = np.array([flip, angle, zoom, down, right, contrast])

    def random(self, size: int) -> np.ndarray:
        assert size == len(self.shares)
        return self.shares


def smooth(height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3)


def test_neutral_draws_change_nothing():
    """A warp that is off by half a pixel would blur and move every training photo."""
    photo = smooth(24, 40)
    np.testing.assert_allclose(augment(photo, Scripted()), photo / 255, atol=1e-6)


@pytest.mark.parametrize(("draws", "expected"), [
    ({"flip": 0.4}, lambda x: x[:, ::-1]),
    ({"right": 1}, lambda x: np.concatenate([x[:, 5::-1], x[:, :-6]], 1)),
    ({"right": 0}, lambda x: np.concatenate([x[:, 6:], x[:, :-7:-1]], 1)),
    ({"down": 1}, lambda x: np.concatenate([x[3::-1], x[:-4]], 0)),
    ({"down": 0}, lambda x: np.concatenate([x[4:], x[:-5:-1]], 0)),
    ({"angle": 3}, lambda x: x[::-1, ::-1])], ids=["flip", "right", "left", "down", "up", "half a turn"])
def test_each_movement_by_hand(draws, expected):
    """Keras' definitions: a tenth of its own side, mirrored beyond the edge; half a turn is 3 x 0.2 - 0.1."""
    photo = smooth(40, 60)
    np.testing.assert_allclose(augment(photo, Scripted(**draws)), expected(photo) / 255, atol=1 / 254)


def test_contrast_is_about_the_mean_and_stays_in_range():
    """Keras' RandomContrast(0.1) with value_range (0, 1)."""
    photo = smooth(40, 60)
    unit = photo / 255
    mean = unit.mean((0, 1), keepdims=True)
    np.testing.assert_allclose(augment(photo, Scripted(contrast=1)), np.clip((unit - mean) * 1.1 + mean, 0, 1),
                               atol=1e-5)


def test_zooming_out_shows_more():
    """A positive factor zooms out, as in Keras: the middle column's neighbours move inwards."""
    photo = smooth(40, 60)
    out = augment(photo, Scripted(zoom=1))
    inside = cv2.resize(photo, (round(60 / 1.1), round(40 / 1.1)), interpolation=cv2.INTER_LINEAR) / 255
    top, left = (40 - inside.shape[0]) // 2, (60 - inside.shape[1]) // 2
    assert np.abs(out[top:top + inside.shape[0], left:left + inside.shape[1]] - inside).mean() < 0.02


@pytest.mark.parametrize("share", [0.0, 0.2, 0.75, 1.0])
def test_rotation_agrees_with_opencvs_own_rotation(share):
    """The guide's RandomRotation(0.1): up to a tenth of a full turn, 36 degrees, about the centre."""
    photo = smooth(48, 64)
    degrees = (2 * share - 1) * 36
    turned = augment(photo, Scripted(angle=share))
    matrix = cv2.getRotationMatrix2D(((64 - 1) / 2, (48 - 1) / 2), degrees, 1)
    expected = cv2.warpAffine(photo, matrix, (64, 48), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT) / 255
    # cv2 turns counter-clockwise; either sense is drawn as often, but the amount must be this one.
    other = cv2.warpAffine(photo, cv2.getRotationMatrix2D(((64 - 1) / 2, (48 - 1) / 2), -degrees, 1), (64, 48),
                           flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT) / 255
    assert min(np.abs(turned - expected).mean(), np.abs(turned - other).mean()) < 0.004


def test_mirrored_beyond_the_edge_leaves_no_black():
    """Black corners would tell the network the angle and nothing about the material."""
    white = np.full((30, 30, 3), 255, np.uint8)
    for angle in (0.0, 1.0):
        np.testing.assert_allclose(augment(white, Scripted(angle=angle, zoom=1.0, down=1.0, right=0.0)), 1, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_any_photo_stays_a_photo(height, width, seed):
    """Shape, float32, [0, 1], the same for the same draws; the original is not touched."""
    photo = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    before = photo.copy()
    once, twice = (augment(photo, np.random.default_rng([seed, 1])) for _ in range(2))
    assert (once.shape, once.dtype) == ((height, width, 3), np.float32)
    assert 0 <= once.min() <= once.max() <= 1
    np.testing.assert_array_equal(once, twice)
    np.testing.assert_array_equal(photo, before)


@pytest.mark.parametrize("size", [(224, 224), (31, 50)])
def test_a_variation_is_drawn_as_numpys_own_functions_draw_it(size):
    """Runs of earlier versions are resumed, and cached views used again: to the bit, not only in distribution."""
    height, width = size
    for position in range(200):
        rng = np.random.default_rng([7, 2, position, 1])
        flip = -1.0 if rng.random() < 0.5 else 1.0
        angle = rng.uniform(-0.1, 0.1) * 2 * math.pi
        zoom = 1.0 + rng.uniform(-0.1, 0.1)
        down, right = rng.uniform(-0.1, 0.1, size=2) * (height, width)
        contrast = rng.uniform(1 - 0.1, 1 + 0.1)
        linear = np.array([[flip * zoom * math.cos(angle), -flip * zoom * math.sin(angle)],
                           [zoom * math.sin(angle), zoom * math.cos(angle)]])
        middle = np.array([(width - 1) / 2, (height - 1) / 2])
        warp, factor = drawn_variation(size, generator_of(7, 2, position))
        np.testing.assert_array_equal(warp[:, :2], linear, strict=True)
        np.testing.assert_allclose(warp[:, 2], middle - linear @ (middle + np.array([right, down])), rtol=0, atol=1e-12)
        assert factor == np.float32(contrast)


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1, 2**32, 2**70])
def test_the_generator_is_numpys_for_any_seed(seed):
    """A seed of more than 32 bits takes more words, and so other numbers."""
    for epoch, position in ((0, 0), (3, 70_000)):
        np.testing.assert_array_equal(generator_of(seed, epoch, position).random(8),
                                      np.random.default_rng([seed, epoch, position, 1]).random(8))


def test_what_a_device_computes_of_a_variation_is_the_hosts_photo():
    """2/255 for 99 % of the numbers: OpenCV places a position on a grid of 1/32 pixel and rounds the warped photo."""
    photo = smooth(48, 64)
    for position in range(20):
        device = by_a_device(photo, *drawn_variation((48, 64), generator_of(1, 0, position)))
        host = augment(photo, generator_of(1, 0, position))
        assert np.mean(np.abs(device - host) <= 2 / 255) >= 0.99
