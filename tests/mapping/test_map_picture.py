"""How a map is shown: colours that differ, legends that fit, and numbers of any count of classes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mapping.colour_model import flat
from matlens.mapping.material_map import UNKNOWN, MaterialMap
from matlens.mapping.picture import colour_of, legend_of, numbers_picture, overlay_of, with_legend
from matlens.mapping.sizes import Scaled


def made_of(classes: int, size: tuple[int, int] = (40, 60)) -> MaterialMap:
    """A map whose first column of superpixels is unknown; the others are of all classes in turn."""
    height, width = size
    segments = np.tile(np.arange(width, dtype=np.int32), (height, 1))
    return MaterialMap(tuple(f"material number {n}, of a long name" for n in range(classes)), flat("red", *size), size,
                       segments, np.arange(width) % classes, np.full(width, 0.5), np.arange(width) == 0,
                       (Scaled(1.0, size),), True)


def test_colours_of_as_many_classes_as_minc_has_differ():
    """The first ten are told apart by colour-blind people; all differ in numbers, and none is that of the unknown."""
    colours = [colour_of(number) for number in range(23)]
    assert len({*colours, colour_of(UNKNOWN)}) == 24
    assert all(len(colour) == 7 and int(colour[1:], 16) >= 0 for colour in colours)


@pytest.mark.parametrize(("classes", "mode", "unknown"), [(3, "P", 255), (255, "P", 255), (256, "I;16", 65_535)])
def test_numbers_are_those_of_classes_and_the_unknown_has_its_own(classes, mode, unknown, tmp_path):
    made = made_of(classes, (4, 300))
    numbers_picture(made).save(tmp_path / "numbers.png")
    with Image.open(tmp_path / "numbers.png") as picture:
        assert picture.mode == mode
        found = np.asarray(picture)
    assert set(found[:, 0]) == {unknown}
    assert np.array_equal(found[0, 1:], np.arange(1, 300) % classes)


def test_shares_add_up_and_the_unknown_is_last():
    legend = legend_of(made_of(7))
    assert sum(entry["share"] for entry in legend) == pytest.approx(1, abs=1e-4)
    assert legend[-1]["class"] == "unknown" and legend[-1]["share"] == pytest.approx(1 / 60, abs=1e-4)
    assert [entry["share"] for entry in legend[:-1]] == sorted((entry["share"] for entry in legend[:-1]), reverse=True)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (400, 300)])
def test_a_legend_of_many_long_names_is_whole(size):
    """The picture of the map keeps its pixels, and each class has a line of its own colour."""
    made = made_of(23, size)
    overlay = overlay_of(made)
    whole = np.asarray(with_legend(overlay, made))
    left = (whole.shape[1] - size[1]) // 2
    assert np.array_equal(whole[:size[0], left:left + size[1]], overlay)
    below = whole[size[0]:].reshape(-1, 3)
    for entry in legend_of(made):
        colour = [int(entry["colour"][at:at + 2], 16) for at in (1, 3, 5)]
        assert (below == colour).all(axis=1).sum() > 50, entry
