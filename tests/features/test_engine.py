"""The engine for many photos: each photo's own answer, and an error where one was made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from matlens.errors import ModelError
from matlens.features.engine import FrameworkEngine, PhotoEngine, features_of
from matlens.models.micro_batches import MicroBatches
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


class Doubling:
    """A classifier whose trunk maps x to 2 x - 1, on a device; `fits` is how many photos fit into its memory."""

    def __init__(self, device: str = "cpu", fits: int = 10**9) -> None:
        self.device, self.fits, self.at_once = device, fits, []
        self.micro_batches = MicroBatches(lambda error: isinstance(error, MemoryError))

    def features(self, images: np.ndarray, until: str | None = None) -> np.ndarray:
        assert until == "a layer"
        return images * 2 - 1

    def sent(self, pixels: np.ndarray) -> np.ndarray:
        return pixels

    def features_of(self, pixels: np.ndarray, until: str | None, pooled: bool) -> np.ndarray:
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        self.at_once.append(len(pixels))
        if len(pixels) > self.fits:
            raise MemoryError
        maps = self.features(pixels / np.float32(255), until)
        return maps.mean(axis=(1, 2)) if pooled else maps


def by_framework(classifier: Doubling, pooled: bool) -> FrameworkEngine:
    return FrameworkEngine(classifier, (SIDE, SIDE), pooled=pooled, until="a layer")  # type: ignore[arg-type]


MANY = np.concatenate([PHOTOS, PHOTOS[::-1]] * 4)[:-3]
"""More than a batch."""


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_a_framework_gives_what_openvino_gives(trunk, pooled, device):
    """On a GPU the framework computes features; heads and tables must not notice."""
    engine, by_openvino = by_framework(Doubling(device), pooled), PhotoEngine(trunk, (SIDE, SIDE), pooled=pooled)
    assert engine.shape == by_openvino.shape
    told: list[tuple[int, int]] = []
    np.testing.assert_allclose(features_of(engine, iter(MANY), len(MANY), lambda *now: told.append(now)),
                               features_of(by_openvino, iter(MANY), len(MANY)), atol=1e-6)
    assert told == sorted(told)
    assert told[-1] == (len(MANY), len(MANY))


@pytest.mark.parametrize(("device", "sizes"), [("cpu", [64, 64, 64, 64, 61]), ("cuda:0", [256, 61])])
def test_a_gpu_computes_more_photos_at_once(device, sizes):
    """A batch of 64 leaves a large card idle between launches."""
    classifier = Doubling(device)
    features_of(by_framework(classifier, True), iter(MANY), len(MANY))
    assert classifier.at_once == sizes


def test_what_does_not_fit_into_memory_is_computed_in_parts():
    """A laptop's card holds fewer photos than the batch is made for."""
    classifier = Doubling("cuda:0", fits=70)
    features = features_of(by_framework(classifier, False), iter(MANY), len(MANY))
    np.testing.assert_allclose(features, MANY / np.float32(255) * 2 - 1, atol=1e-6)
    assert classifier.at_once[:3] == [256, 128, 64], "halved until it fits, and never tried larger again"
    assert max(classifier.at_once[3:]) == 64


def test_what_fails_around_a_framework_is_raised_and_stops_the_work():
    """A full disk while features are kept, and a damaged photo while the next batch is read."""
    def full(index: int, values: np.ndarray) -> None:
        if index == 100:
            raise OSError("disk full")

    def damaged():
        yield from PHOTOS
        raise ValueError("damaged")

    classifier, drawn = Doubling(), []
    with pytest.raises(OSError, match="disk full"):
        by_framework(classifier, True).run((drawn.append(1) or PHOTOS[0] for _ in range(100_000)), 100_000, full)
    assert len(drawn) < 100_000
    with pytest.raises(ValueError, match="damaged"):
        features_of(by_framework(classifier, True), damaged(), 80)
