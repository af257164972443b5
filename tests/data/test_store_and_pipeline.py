"""From photos on disk to batches: decoded once, checked, in an order that follows from seed and epoch."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from matlens.data.batches import PhotoBatches, prepared_ahead, read_photos
from matlens.data.pixels import store as module
from matlens.data.pixels.augment import augment
from matlens.data.pixels.reader import PhotoReader
from matlens.data.pixels.store import PixelStore, hash_photos, prepare_store
from matlens.data.split.splits import Photo
from matlens.errors import CacheError, DataError


@pytest.fixture
def hashes(drawn):
    paths = sorted(path.relative_to(drawn).as_posix() for path in drawn.rglob("*.jpg"))
    return hash_photos(drawn, paths)[0]


@pytest.fixture
def store(drawn, hashes, tmp_path) -> PixelStore:
    return prepare_store(drawn, hashes, (32, 40), tmp_path)


def test_the_store_holds_the_decoded_photos_and_is_made_once(drawn, hashes, store, tmp_path, monkeypatch):
    """Decoding is what later runs save."""
    for path, digest in list(hashes.items())[:5]:
        np.testing.assert_array_equal(store.read([store.rows[digest]])[0], PhotoReader((32, 40)).read(drawn / path))
    monkeypatch.setattr(PhotoReader, "attempt", lambda *a: pytest.fail("decoded again"))
    assert prepare_store(drawn, dict(reversed(hashes.items())), (32, 40), tmp_path).folder == store.folder


def test_unreadable_photos_are_told_and_have_no_row(drawn, tmp_path):
    """A broken file is left out, with its reason."""
    (tmp_path / "bad.jpg").write_text("text")
    (tmp_path / "good.jpg").write_bytes((drawn / "sky" / "sky_000001.jpg").read_bytes())
    hashes, problems = hash_photos(tmp_path, ["bad.jpg", "good.jpg", "gone.jpg"])
    assert problems == {"gone.jpg": "missing file"}
    store = prepare_store(tmp_path, hashes, (32, 32), tmp_path / "cache")
    assert store.problems == {hashes["bad.jpg"]: "not an image"}
    assert list(store.rows) == [hashes["good.jpg"]]


def test_a_damaged_store_is_never_trained_on(store):
    """One flipped byte on disk must not end in a result."""
    file = store.folder / "pixels.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    damaged = PixelStore.open(store.folder)
    with pytest.raises(DataError, match="damaged"):
        damaged.read([len(damaged.checksums) - 1])
    file.write_bytes(content[: len(content) // 2])
    assert PixelStore.open(store.folder) is None


def test_an_interrupted_store_is_not_there(drawn, hashes, tmp_path, monkeypatch):
    """Half a store must not be taken for a whole one."""
    calls = []

    def fail(*arguments, **options):
        calls.append(arguments)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return np.zeros((32, 32, 3), np.uint8)

    monkeypatch.setattr(PhotoReader, "attempt", fail)
    with pytest.raises(KeyboardInterrupt):
        prepare_store(drawn, hashes, (32, 32), tmp_path)
    assert not list((tmp_path / "pixels").iterdir())


def test_a_full_disk_is_noticed_before_the_work(drawn, hashes, tmp_path, monkeypatch):
    """And the way out is said."""
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(CacheError, match="--cache-dir"):
        prepare_store(drawn, hashes, (32, 32), tmp_path)


def batches_of(store: PixelStore, n: int, size: int, **options) -> PhotoBatches:
    return PhotoBatches(store, np.arange(n), np.arange(n) % 4, 4, size, **options)


def test_batches_are_unit_range_and_one_hot(store):
    """What every model here takes."""
    images, labels = next(iter(batches_of(store, 10, 4)))
    assert images.dtype == labels.dtype == np.float32
    assert images.shape == (4, 32, 40, 3)
    np.testing.assert_array_equal(images, store.pixels[:4] / np.float32(255))
    np.testing.assert_array_equal(labels, np.eye(4))


def test_an_epoch_has_every_photo_once_in_an_order_of_its_own(store):
    """Seeded shuffling: the same each time, another one each epoch."""
    batches = batches_of(store, 12, 5, seed=3, shuffle=True)
    first = [np.concatenate([images for images, _ in batches.epoch(number)]) for number in (0, 0, 1)]
    np.testing.assert_array_equal(first[0], first[1])
    assert not np.array_equal(first[0], first[2])
    for epoch in first:
        assert len(np.unique(epoch.reshape(12, -1), axis=0)) == 12


def test_memory_is_used_again_only_when_no_piece_of_a_batch_is_left(store):
    """A row that somebody kept, or a tensor on it, must not turn into a photo of a later batch."""
    kept = [images[0][1:, :, ::2] for images, _ in batches_of(store, 48, 2)]
    for number, piece in enumerate(kept):
        np.testing.assert_array_equal(piece, store.pixels[2 * number][1:, :, ::2] / np.float32(255))


@pytest.mark.parametrize(("n", "size", "expected"), [(9, 4, [4, 5]), (10, 4, [4, 4, 2]), (3, 64, [3]),
                                                  (3, 1, [1, 1, 1])])
def test_no_batch_of_one_is_left_over(store, n, size, expected):
    """Batch normalisation cannot be trained on a single photo of a single place."""
    batches = batches_of(store, n, size)
    assert [len(labels) for _, labels in batches] == expected
    assert len(batches) == len(expected)


def test_augmentation_varies_each_epoch_and_can_be_repeated(store):
    """By (seed, epoch, photo), with nothing to restore."""
    batches = batches_of(store, 4, 4, seed=1, augmented=True)
    epochs = [next(batches.epoch(number))[0] for number in (0, 0, 1)]
    np.testing.assert_array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[0], epochs[2])
    assert 0 <= epochs[0].min() <= epochs[0].max() <= 1
    np.testing.assert_array_equal(next(iter(batches.head(1)))[0].sum(), store.pixels[:4].astype(np.float32).sum() / 255)


def test_an_error_while_reading_ahead_reaches_the_reader():
    """Else training would wait for ever."""
    def broken():
        yield np.zeros(1), np.zeros(1)
        raise DataError("gone")

    ahead = prepared_ahead(broken())
    next(ahead)
    with pytest.raises(DataError, match="gone"):
        next(ahead)


def test_a_photo_changed_after_the_split_is_refused(drawn, hashes, tmp_path):
    """Predictions of other photos than those that were divided would be no evaluation."""
    photo = Photo("sky/sky_000001.jpg", "sky", "test", "0" * 64)
    with pytest.raises(DataError, match="changed"):
        next(read_photos(drawn, [photo], (32, 32)))
    with pytest.raises(DataError, match=r"gone\.jpg"):
        next(read_photos(drawn, [Photo("gone.jpg", "sky", "test", "")], (32, 32)))


class Draws:
    """A generator whose draws are given."""

    def __init__(self, flip: bool = False, angle: float = 0, zoom: float = 0, down: float = 0, right: float = 0,
                 contrast: float = 1) -> None:
        self._random = 0.0 if flip else 1.0
        self._uniform = iter([angle / (2 * np.pi), zoom, np.array([down, right]), contrast])

    def random(self) -> float:
        return self._random

    def uniform(self, *_: float, size: int | None = None) -> object:
        return next(self._uniform)


@pytest.fixture
def photo() -> np.ndarray:
    return cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8), (0, 0), 3)


@pytest.mark.parametrize(("draws", "expected"), [
    ({}, lambda x: x),
    ({"flip": True}, lambda x: x[:, ::-1]),
    ({"right": 0.1}, lambda x: np.concatenate([x[:, 5::-1], x[:, :-6]], 1)),
    ({"down": -0.1}, lambda x: np.concatenate([x[4:], x[:-5:-1]], 0)),
    ({"angle": np.pi}, lambda x: x[::-1, ::-1]),
])
def test_each_movement_by_hand(photo, draws, expected):
    """Keras' definitions: shares of the side, mirrored beyond the edge."""
    np.testing.assert_allclose(augment(photo, Draws(**draws)), expected(photo) / 255, atol=1 / 254)


def test_contrast_is_about_the_mean_and_stays_in_range(photo):
    """value_range (0, 1)."""
    unit = photo / 255
    mean = unit.mean((0, 1), keepdims=True)
    np.testing.assert_allclose(augment(photo, Draws(contrast=1.1)), np.clip((unit - mean) * 1.1 + mean, 0, 1),
                               atol=1e-5)


def test_zoom_out_shows_more(photo):
    """A positive factor zooms out, as in Keras: the middle column's neighbours move inwards."""
    out = augment(photo, Draws(zoom=0.1))
    inside = cv2.resize(photo, (round(60 / 1.1), round(40 / 1.1)), interpolation=cv2.INTER_LINEAR) / 255
    top, left = (40 - inside.shape[0]) // 2, (60 - inside.shape[1]) // 2
    assert np.abs(out[top:top + inside.shape[0], left:left + inside.shape[1]] - inside).mean() < 0.02
