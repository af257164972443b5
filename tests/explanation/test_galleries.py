"""Galleries hold the photos that they should, once each, with pictures that a page can show."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from matlens.explanation.galleries import Gallery, heat_png, make_gallery
from matlens.runs.run import Run
from small_run import SCALE, probability


@pytest.fixture(scope="module")
def gallery(small_run) -> Gallery:
    return make_gallery(Run.open(small_run), "mobilenetv2_transfer")


def paths(gallery: Gallery, numbers: tuple[int, ...]) -> list[str]:
    return [gallery.photos[number].path for number in numbers]


def test_the_mislabelled_are_the_mistakes_and_the_faint_the_least_sure(gallery):
    """Each class has one of both; the mistakes are equally sure, so they stand in the order of the split."""
    wrong = [f"test/{name}/wrong.png" for name in ("blue", "green", "red")]
    assert sorted(paths(gallery, gallery.confident_mistakes)) == wrong
    assert sorted(paths(gallery, gallery.unsure_hits)[:3]) == [path.replace("wrong", "faint") for path in wrong]
    assert paths(gallery, gallery.per_class["green"]["mistakes"]) == ["test/green/wrong.png"]
    assert paths(gallery, gallery.per_class["green"]["hits"])[0] == "test/green/faint.png"
    assert [(pair.truth, pair.predicted, pair.count) for pair in gallery.pairs] == [
        ("blue", "green", 1), ("green", "red", 1), ("red", "blue", 1)]
    assert paths(gallery, gallery.pairs[1].photos) == ["test/green/wrong.png"]


def test_a_photo_stands_once_with_its_answer(gallery):
    """However many galleries show it."""
    assert len({photo.path for photo in gallery.photos}) == len(gallery.photos)
    found = next(photo for photo in gallery.photos if photo.path == "test/red/wrong.png")
    assert (found.truth, found.predicted) == ("red", "blue")
    expected = probability(200, SCALE)
    assert found.probability == pytest.approx(expected, abs=1e-3)
    assert found.truth_probability == pytest.approx((1 - expected) / 2, abs=1e-3)


def test_pictures_open_and_the_heat_lies_where_the_colour_is(gallery):
    """A pixel of heat a place: opaque at the patch, and clearer elsewhere."""
    found = next(photo for photo in gallery.photos if photo.path == "test/red/wrong.png")  # blue, at the lower right
    jpeg = np.asarray(Image.open(io.BytesIO(base64.b64decode(found.jpeg))))
    assert jpeg.shape == (found.height, found.width, 3)
    assert jpeg[-8:, -8:, 2].mean() > jpeg[-8:, -8:, 0].mean() + 100
    assert found.heat is not None
    heat = np.asarray(Image.open(io.BytesIO(base64.b64decode(found.heat))))
    assert heat.shape == (6, 6, 4)
    assert (heat[4:, 4:, 3] == 191).all()
    assert (heat[:4, :4, 3] < 60).all()


def test_heat_goes_from_dark_to_bright():
    """Red, green, blue in that order: inferno ends in a bright yellow."""
    heat = np.asarray(Image.open(io.BytesIO(base64.b64decode(heat_png(np.array([[0, 1]], np.float32))))))
    assert (heat[0, 0, :3] < 12).all()
    assert heat[0, 0, 3] == 0
    red, green, blue, opacity = heat[0, 1].tolist()
    assert red > 240
    assert green > 240
    assert blue < 190
    assert opacity == 191


def test_a_map_of_many_places_is_made_small():
    """A forward-only method may have a place for each pixel, of which a page of many photos would grow too large."""
    heat = np.zeros((200, 100), np.float32)
    heat[:100] = 1
    small = np.asarray(Image.open(io.BytesIO(base64.b64decode(heat_png(heat)))))
    assert small.shape == (64, 32, 4)
    assert (small[:31, :, 3] == 191).all()
    assert (small[33:, :, 3] == 0).all()


def test_what_was_written_is_read_again(gallery, small_run):
    """The galleries are values: tuples stay tuples."""
    assert Gallery.current(Run.open(small_run).paths, "mobilenetv2_transfer") == gallery
