"""The grid of explained photos: whose photo it is, what was answered, and the colours that galleries have."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from matlens.explanation.explained import ExplainedPhoto
from matlens.explanation.galleries import heat_png
from matlens.explanation.grid import plot_explained_grid
from matlens.explanation.overlay import lay_glow

PHOTO = np.full((32, 32, 3), 200, np.uint8)


def explained(heat: np.ndarray, truth: str | None = "glass") -> ExplainedPhoto:
    return ExplainedPhoto(PHOTO, lay_glow(heat, PHOTO), "metal", 0.875, heat, truth, "IMG_7.jpg")


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def test_each_photo_has_its_file_its_answer_and_the_truth() -> None:
    shown = texts(plot_explained_grid([explained(np.eye(4, dtype=np.float32))], "Grad-CAM"))
    for words in ("IMG_7.jpg", "predicted metal, 88 %", "true: glass", "4 x 4 grid"):
        assert words in shown
    right = texts(plot_explained_grid([explained(np.eye(4, dtype=np.float32), "metal")], "Grad-CAM"))
    assert "metal, 88 %" in right and "true" not in right


@pytest.mark.parametrize(("side", "pictures"), [(4, 2), (1, 1)])
def test_a_photo_is_drawn_twice_only_where_a_heat_map_has_something_to_show(side: int, pictures: int) -> None:
    figure = plot_explained_grid([explained(np.ones((side, side), np.float32))], "Grad-CAM")
    assert len(figure.axes[0].get_images()) == pictures


def test_the_colours_are_those_of_the_galleries() -> None:
    """A page lays the gallery's PNG over the photo; where it is opaque by a share, that share is its colour."""
    heat = np.kron(np.array([[0, 0.5], [0.75, 1]], np.float32), np.ones((16, 16), np.float32))
    png = np.asarray(Image.open(io.BytesIO(base64.b64decode(heat_png(heat)))), float)
    share = png[..., 3:] / 255
    laid = lay_glow(heat, PHOTO)
    assert np.abs(laid - ((1 - share) * PHOTO + share * png[..., :3])).max() <= 1
    assert (laid[:16, :16] == PHOTO[:16, :16]).all(), "a cold place shows the photo as it is"
