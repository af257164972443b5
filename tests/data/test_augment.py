"""Augmentation against closed forms: shapes, range, known pixels, known angles."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matlens.data.pixels.augment import FACTOR, augment


class Scripted:
    """A generator that answers with given shares of each range: 0 its start, 0.5 its middle, 1 its end."""

    def __init__(self, flip: float = 0.9, angle: float = 0.5, zoom: float = 0.5, down: float = 0.5,
                 right: float = 0.5, contrast: float = 0.5) -> None:
        self.flip = flip
        self.answers = iter([angle, zoom, np.array([down, right]), contrast])

    def random(self) -> float:
        return self.flip

    def uniform(self, low: float, high: float, size: int | None = None) -> object:
        share = next(self.answers)
        assert np.size(share) == (size or 1)
        return low + (high - low) * share


def smooth(height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3)


def test_neutral_draws_change_nothing():
    """A warp that is off by half a pixel would blur and move every training photo."""
    photo = smooth(24, 40)
    np.testing.assert_allclose(augment(photo, Scripted()), photo / 255, atol=1e-6)


def test_a_flip_moves_a_known_pixel_to_the_other_side():
    """Left and right, not up and down."""
    photo = np.zeros((5, 8, 3), np.uint8)
    photo[1, 2] = 255
    flipped = augment(photo, Scripted(flip=0.4))
    assert np.argwhere(flipped[:, :, 0] > 0.5).tolist() == [[1, 5]]


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


@pytest.mark.parametrize(("shape", "draws", "moved"), [
    ((40, 20), {"right": 1.0}, (0, 2)), ((40, 20), {"right": 0.0}, (0, -2)),
    ((40, 20), {"down": 1.0}, (4, 0)), ((40, 20), {"down": 0.0}, (-4, 0))])
def test_translation_is_a_tenth_of_its_own_side(shape, draws, moved):
    """Height and width must not be mixed up on photos that are not square."""
    photo = np.zeros((*shape, 3), np.uint8)
    photo[20, 10] = 255
    out = augment(photo, Scripted(**draws))
    place = np.unravel_index(out[:, :, 0].argmax(), shape)
    assert (int(place[0]) - 20, int(place[1]) - 10) == moved


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


def test_the_factor_is_the_guides():
    """RandomRotation(0.1), RandomZoom(0.1), RandomTranslation(0.1, 0.1), RandomContrast(0.1)."""
    assert FACTOR == 0.1
