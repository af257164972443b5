"""The engine for many photos: each photo's own answer, and an error where one was made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from matlens.errors import ModelError
from matlens.features.engine import FrameworkEngine, PhotoEngine, features_of
from matlens.system.openvino import import_openvino

SIDE = 8
PHOTOS = np.random.default_rng(0).integers(0, 256, (40, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trunk by hand: x to 2 x - 1."""
    openvino = import_openvino()
    from openvino import opset13

    photo = opset13.parameter([-1, -1, -1, 3], np.float32)
    out = opset13.subtract(opset13.multiply(photo, opset13.constant(np.float32(2))), opset13.constant(np.float32(1)))
    file = tmp_path_factory.mktemp("engine") / "trunk.xml"
    openvino.save_model(openvino.Model([out], [photo]), file, compress_to_fp16=False)
    return file


def test_each_photo_gets_its_own_answer(trunk):
    """Several are in flight at once and end in any order."""
    wanted = PHOTOS.astype(np.float32) / 255 * 2 - 1
    maps = PhotoEngine(trunk, (SIDE, SIDE), pooled=False)
    assert maps.shape == (SIDE, SIDE, 3)
    np.testing.assert_allclose(features_of(maps, iter(PHOTOS), 40), wanted, atol=1e-6)
    means = PhotoEngine(trunk, (SIDE, SIDE), pooled=True)
    assert means.shape == (3,)
    np.testing.assert_allclose(features_of(means, iter(PHOTOS), 40), wanted.mean(axis=(1, 2)), atol=1e-6)


def test_what_fails_while_an_answer_is_kept_is_raised_and_stops_the_work(trunk):
    """An exception in OpenVINO's thread would end the process without a word; a full disk is told there."""
    engine, drawn = PhotoEngine(trunk, (SIDE, SIDE), pooled=False), []

    def photos():
        for number in range(100_000):
            drawn.append(number)
            yield PHOTOS[0]

    def keep(index: int, values: np.ndarray) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        engine.run(photos(), 100_000, keep)
    assert len(drawn) < 100_000
    again = features_of(engine, iter(PHOTOS), 40)
    np.testing.assert_allclose(again, PHOTOS.astype(np.float32) / 255 * 2 - 1, atol=1e-6)


def test_what_fails_while_photos_are_read_is_raised(trunk):
    """A damaged store must not give features of fewer photos."""
    def photos():
        yield PHOTOS[0]
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        features_of(PhotoEngine(trunk, (SIDE, SIDE), pooled=True), photos(), 2)


def test_a_file_that_is_no_trunk_is_named(tmp_path):
    """Half a file from a full disk, for instance."""
    (tmp_path / "trunk.xml").write_text("<net")
    with pytest.raises(ModelError, match=str(tmp_path / "trunk.xml")):
        PhotoEngine(tmp_path / "trunk.xml", (SIDE, SIDE), pooled=True)


@pytest.mark.parametrize("pooled", [True, False])
def test_a_framework_gives_what_openvino_gives(trunk, pooled):
    """On a GPU the framework computes features; heads and tables must not notice."""
    class Doubling:
        def features(self, images: np.ndarray, until: str | None = None) -> np.ndarray:
            assert until == "a layer"
            return images * 2 - 1

    by_framework = FrameworkEngine(Doubling(), (SIDE, SIDE), pooled=pooled, until="a layer")  # type: ignore[arg-type]
    by_openvino = PhotoEngine(trunk, (SIDE, SIDE), pooled=pooled)
    assert by_framework.shape == by_openvino.shape
    many = np.concatenate([PHOTOS, PHOTOS[::-1]])  # more than a batch
    np.testing.assert_allclose(features_of(by_framework, iter(many), 80), features_of(by_openvino, iter(many), 80),
                               atol=1e-6)
