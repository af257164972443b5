"""Features and activations in batches: the order of the photos, every view its turn, nothing damaged."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from builders import cached_activations
from matlens.data.batches import PhotoBatches
from matlens.data.pixels.store import PixelStore
from matlens.errors import CacheError
from matlens.features.activations import Activations
from matlens.system.shards.gathered import ShardedRows
from matlens.training.feature_batches import FeatureBatches

CLASSES = 4


def store_of(photos: int) -> PixelStore:
    """A store whose photos show their row."""
    pixels = np.repeat(np.arange(photos, dtype=np.uint8), 12).reshape(photos, 2, 2, 3)
    return PixelStore(Path(), pixels, {}, np.array([zlib.crc32(photo.data) for photo in pixels]), {})


def numbered(photos: int, views: int, size: int) -> tuple[np.ndarray, ...]:
    """Features (photos, size) of each view that say whose they are: photo + 100 view."""
    return tuple(np.repeat(np.arange(photos, dtype=np.float32)[:, None] + 100 * view, size, axis=1)
                 for view in range(views))


def seen(batches: FeatureBatches, epoch: int) -> list[tuple[int, int]]:
    """(photo, view) in the order of an epoch. Each must come with its own label."""
    found = []
    for values, encoded in batches.epoch(epoch):
        assert len(values) == len(encoded)
        for value, label in zip(values, encoded, strict=True):
            view, photo = divmod(int(value.flat[0]), 100)
            assert (label.argmax(), label.sum()) == (photo % CLASSES, 1)
            found.append((photo, view))
    return found


@pytest.mark.parametrize(("views", "by_turns"), [(1, False), (3, True)])
def test_features_come_in_the_order_in_which_photos_would(views, by_turns):
    """The same seed must mean the same order, with features or with photos."""
    labels = np.arange(13) % CLASSES
    photos = PhotoBatches(store_of(13), np.arange(13), labels, CLASSES, 4, seed=9, shuffle=True)
    features = FeatureBatches(numbered(13, views, 1), labels, CLASSES, 4, seed=9, shuffle=True, by_turns=by_turns)
    assert len(features) == len(photos) == 3  # 4 + 4 + 5: a single photo left over joins the batch before
    for epoch in (0, 3):
        for (images, one_hot), (values, encoded) in zip(photos.epoch(epoch), features.epoch(epoch), strict=True):
            np.testing.assert_array_equal((images[:, 0, 0, 0] * 255).round(), values[:, 0] % 100)
            np.testing.assert_array_equal(one_hot, encoded)


def test_an_epoch_of_views_has_every_view_of_every_photo_once_with_its_label():
    """A view that came with another photo's label would teach nonsense."""
    batches = FeatureBatches(numbered(7, 3, 1), np.arange(7) % CLASSES, CLASSES, 5, seed=2, shuffle=True)
    assert len(batches) == 4  # 5 + 5 + 5 + 6
    assert sorted(seen(batches, 0)) == [(photo, view) for photo in range(7) for view in range(3)]


def test_by_turns_each_epoch_has_each_photo_once_and_as_many_epochs_as_views_have_each_view_once():
    """As augmentation would have it: an epoch costs what one of photos does, and brings other variations."""
    photos, views = 11, 4
    batches = FeatureBatches(numbered(photos, views, 1), np.arange(photos) % CLASSES, CLASSES, 4, seed=2, shuffle=True,
                             by_turns=True)
    epochs = [seen(batches, epoch) for epoch in range(views)]
    for epoch in epochs:
        assert sorted(photo for photo, _ in epoch) == list(range(photos))
        assert len({view for _, view in epoch}) > 1, "an epoch of one view alone is not what augmentation gives"
    assert len({tuple(photo for photo, _ in epoch) for epoch in epochs}) == views, "each epoch has its own order"
    assert sorted(pair for epoch in epochs for pair in epoch) == [
        (photo, view) for photo in range(photos) for view in range(views)]
    assert sorted(seen(batches, views)) == sorted(epochs[0])


def test_the_head_of_the_photos_is_of_view_0():
    """Statistics of batch normalisation are of photos as they are."""
    batches = FeatureBatches(numbered(11, 3, 1), np.arange(11) % CLASSES, CLASSES, 4, seed=5, shuffle=True,
                             by_turns=True)
    chosen = np.concatenate([values[:, 0] for values, _ in batches.head(2)])
    np.testing.assert_array_equal(chosen, np.random.default_rng(5).permutation(11)[:8])


def test_activations_come_as_photos_do_and_a_damaged_one_stops_the_training(tmp_path):
    """Read from the disk in another thread; a flipped bit must not be trained on."""
    maps = [values.reshape(6, 2, 2, 2) for values in numbered(6, 2, 8)]
    views = tuple(cached_activations(tmp_path / str(view), values) for view, values in enumerate(maps))
    batches = FeatureBatches(views, np.arange(6) % CLASSES, CLASSES, 4, seed=1, shuffle=True, by_turns=True)
    assert sorted(seen(batches, 0) + seen(batches, 1)) == [(photo, view) for photo in range(6) for view in range(2)]
    for values, _ in batches.epoch(0):
        assert (values.shape[1:], values.dtype) == ((2, 2, 2), np.float32)
        np.testing.assert_array_equal(values, values[:, :1, :1, :1] * np.ones((1, 2, 2, 2)))
    file = views[1].shards[0] / "values.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    damaged = FeatureBatches((Activations.open(views[1].folder),), np.arange(6) % CLASSES, CLASSES, 4)
    with pytest.raises(CacheError, match=str(file.parent)):
        list(damaged.epoch(0))


def test_rows_that_stay_on_the_disk_give_the_same_batches() -> None:
    """Features of many photos are not copied into memory."""
    labels, features = np.arange(20) % CLASSES, np.random.default_rng(0).random((50, 3), np.float32)
    numbers = np.random.default_rng(1).permutation(50)[:20]
    there = ShardedRows((features,), numbers)
    assert there.shape == (20, 3)
    batches = [list(FeatureBatches((rows,), labels, CLASSES, 6, seed=5, shuffle=True).epoch(2))
               for rows in (there, features[numbers])]
    for (lazy, of_lazy), (copied, of_copied) in zip(*batches, strict=True):
        np.testing.assert_array_equal(lazy, copied)
        np.testing.assert_array_equal(of_lazy, of_copied)
