"""Several models side by side: one scale that means the same for all."""

from __future__ import annotations

import numpy as np
import pytest

from matlens.explanation.explained import ExplainedPhoto
from matlens.explanation.side_by_side import SideBySide, density, plot_side_by_side

PHOTO = np.full((32, 48, 3), 128, np.uint8)


def explained(heat: list[list[float]], predicted: str = "wood", photo: np.ndarray = PHOTO) -> ExplainedPhoto:
    values = np.array(heat, np.float32)
    return ExplainedPhoto(photo, photo, predicted, 0.9, values)


def test_an_even_map_is_1_everywhere_and_half_of_the_photo_twice_that():
    """Whatever the map's own size and units."""
    for heat in (np.full((3, 2), 0.3, np.float32), np.full((7, 7), 40, np.float32)):
        np.testing.assert_allclose(density(heat, (32, 48)), 1, rtol=1e-5)
    half = density(np.repeat(np.array([[0, 1]], np.float32), 2, axis=0), (32, 48))
    assert half.mean() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(half[:, -12:], 2, atol=1e-5)
    np.testing.assert_allclose(half[:, :12], 0, atol=1e-5)
    np.testing.assert_array_equal(density(np.zeros((2, 2), np.float32), (32, 48)), 0)


def test_all_models_share_the_scale_of_the_hottest(tmp_path):
    """A spread-out map must look pale beside a concentrated one."""
    spread, narrow = [[1.0] * 4] * 4, [[0.0] * 4] * 3 + [[0.0, 0.0, 0.0, 5.0]]
    found = SideBySide.from_explained({"A": [explained(spread)], "B": [explained(narrow, "glass")]})
    assert found.tops == (found.densities["B"].max(),)
    assert found.tops[0] > 10
    assert found.said == {"A": ("wood 90 %",), "B": ("glass 90 %",)}
    figure = found.draw("Grad-CAM")
    shown = {axes.get_title(): axes.images[0].get_array() for axes in figure.axes if axes.images}
    assert list(shown) == ["Photo", "A\nwood 90 %", "B\nglass 90 %"]
    corner, other = shown["B\nglass 90 %"][-1, -1], shown["A\nwood 90 %"][-1, -1]
    assert corner.sum() > other.sum() + 0.5
    bar = next(axes for axes in figure.axes if "even spread" in axes.get_ylabel())
    assert bar.get_ylim() == pytest.approx((0, found.tops[0]))
    plot_side_by_side({"A": [explained(spread)]}, "Grad-CAM", tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


def test_a_map_without_heat_says_so():
    """An empty overlay would look like a defect."""
    both = SideBySide.from_explained({"A": [explained([[0, 0], [0, 0]])], "B": [explained([[1, 0], [0, 0]])]})
    figure = both.draw("Grad-CAM")
    assert [axes.get_title() for axes in figure.axes if "nothing speaks for it" in axes.get_title()] == [
        "A\nwood 90 %\n(nothing speaks for it)"]


def test_only_the_same_photos_can_stand_side_by_side():
    """Rows of a picture are photos."""
    other = np.zeros_like(PHOTO)
    for wrong in ({}, {"A": []}, {"A": [explained([[1]])], "B": []},
                  {"A": [explained([[1]])], "B": [explained([[1]], photo=other)]}):
        with pytest.raises(ValueError, match="the same photos"):
            SideBySide.from_explained(wrong)
