"""From a folder to batches: what the user is told, and what the network sees in which order."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from by_device import by_a_device
from PIL import Image

from matlens.data.ahead import prepared_ahead
from matlens.data.batches import PhotoBatches, part_batches, read_photos
from matlens.data.pixels.augment import drawn_variation, generator_of
from matlens.data.pixels.store import PixelStore
from matlens.data.prepare import Prepared, prepare
from matlens.errors import DataError
from matlens.settings.schema import Settings
from matlens.system.console import Reporter


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of seven grey photos; each grey is there once, so it tells which photo it is."""
    rng = np.random.default_rng(0)
    for number in range(14):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 3, (32, 32, 3))
        Image.fromarray((number * 15 + noise).astype(np.uint8)).save(path)
    return tmp_path / "photos"


@pytest.fixture
def prepared(photos: Path, tmp_path: Path) -> Prepared:
    return prepare(Settings(data_dir=photos, img_size=(32, 32), cache_dir=tmp_path / "cache"), Reporter(quiet=True))


def seen(batches: PhotoBatches, epoch: int) -> list[int]:
    """The numbers of the photos in the order of an epoch."""
    return [round(float(image.mean()) * 255 - 1) // 15 for images, _ in batches.epoch(epoch) for image in images]


def test_every_batch_holds_the_photo_and_the_class_that_belong_together(prepared):
    """A label beside the wrong photo is the worst that a pipeline can do."""
    for part in ("train", "val", "test"):
        batches = part_batches(prepared.split, part, prepared.store, 4, seed=1, shuffle=True)
        numbers = seen(batches, 2)
        labels = np.concatenate([batch.argmax(1) for _, batch in batches.epoch(2)])
        assert labels.tolist() == [number % 2 for number in numbers]
        assert sorted(f"{'ab'[n % 2]}/{n}.png" for n in numbers) == sorted(p.path for p in prepared.split.part(part))


def test_without_shuffling_the_order_is_that_of_the_split(prepared):
    """Predictions are written beside the split's paths, row by row."""
    batches = part_batches(prepared.split, "train", prepared.store, 4)
    assert [f"{'ab'[n % 2]}/{n}.png" for n in seen(batches, 0)] == [p.path for p in prepared.split.part("train")]
    assert seen(batches, 0) == seen(batches, 5)


def test_the_order_follows_from_seed_and_epoch_alone(prepared):
    """A resumed run must see what the uninterrupted one would have seen; another seed something else."""
    one = part_batches(prepared.split, "train", prepared.store, 4, seed=1, shuffle=True)
    other_size = part_batches(prepared.split, "train", prepared.store, 3, seed=1, shuffle=True)
    other_seed = part_batches(prepared.split, "train", prepared.store, 4, seed=2, shuffle=True)
    assert seen(one, 3) == seen(one, 3) == seen(other_size, 3)
    assert len({tuple(seen(batches, epoch)) for batches in (one, other_seed) for epoch in range(4)}) == 8


def test_a_photos_variation_does_not_depend_on_its_batch(prepared):
    """Else a smaller batch, taken for lack of memory, would train on other pictures."""
    varied = []
    for size in (3, 10):
        batches = part_batches(prepared.split, "train", prepared.store, size, seed=1, augmented=True)
        varied.append(np.concatenate([images for images, _ in batches.epoch(1)]))
    np.testing.assert_array_equal(varied[0], varied[1])


def test_nothing_is_varied_unless_asked_for(prepared):
    """Validation and test photos must be judged as they are."""
    batches = part_batches(prepared.split, "test", prepared.store, 64, seed=1, shuffle=True)
    (images, _), = list(batches.epoch(1))
    expected = sorted(prepared.store.read(batches.rows).reshape(len(images), -1).tolist())
    assert sorted((images * 255).round().astype(int).reshape(len(images), -1).tolist()) == expected


def test_a_batch_larger_than_the_data_is_all_of_it(prepared):
    """BATCH_SIZE 64 on a small folder must train, not end without a step."""
    batches = part_batches(prepared.split, "val", prepared.store, 64)
    assert [labels.shape for _, labels in batches] == [(len(prepared.split.part("val")), 2)]


def test_the_head_is_the_same_each_time_and_no_larger_than_asked(prepared):
    """The training score after an epoch is taken on these photos: they must not change between epochs."""
    batches = part_batches(prepared.split, "train", prepared.store, 2, seed=1, shuffle=True, augmented=True)
    head = batches.head(2)
    assert len(set(seen(head, 0))) == 4
    assert seen(head, 0) == seen(head, 1) == seen(batches.head(2), 2)


@pytest.fixture
def store(prepared: Prepared) -> PixelStore:
    return prepared.store


def batches_of(store: PixelStore, n: int, size: int, **options) -> PhotoBatches:
    return PhotoBatches(store, np.arange(n), np.arange(n) % 4, 4, size, **options)


def test_batches_are_unit_range_and_one_hot(store):
    """What every model here takes."""
    images, labels = next(iter(batches_of(store, 10, 4)))
    assert images.dtype == labels.dtype == np.float32
    assert images.shape == (4, 32, 32, 3)
    np.testing.assert_array_equal(images, store.pixels[:4] / np.float32(255))
    np.testing.assert_array_equal(labels, np.eye(4))


def test_memory_is_used_again_only_when_no_piece_of_a_batch_is_left(store):
    """A row that somebody kept, or a tensor on it, must not turn into a photo of a later batch."""
    kept = [images[0][1:, :, ::2] for images, _ in batches_of(store, 14, 2)]
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
    unvaried = next(iter(batches.head(1)))[0]
    np.testing.assert_array_equal(np.sort(unvaried, None), np.sort(store.pixels[:4] / np.float32(255), None))


@pytest.mark.parametrize("augmented", [True, False])
def test_bytes_are_the_photos_of_the_floats_with_their_variations(store, augmented):
    """A device that computes floats of bytes must train on the same photos, in the same order, varied alike."""
    floats = batches_of(store, 14, 4, seed=3, shuffle=True, augmented=augmented)
    order = floats.order(2)
    for number, ((images, labels), (wanted, labels_wanted)) in enumerate(
            zip(floats.as_bytes().epoch(2), floats.epoch(2), strict=True)):
        positions = order[number * 4:number * 4 + 4]
        assert len(images) == len(wanted) == len(positions)
        np.testing.assert_array_equal(labels, labels_wanted)
        np.testing.assert_array_equal(images.pixels, store.pixels[positions], strict=True)
        assert images.pixels.flags.c_contiguous
        if not augmented:
            assert images.warps is images.contrasts is None
            continue
        assert (images.warps.shape, images.warps.dtype) == ((len(positions), 2, 3), np.float64)
        assert (images.contrasts.shape, images.contrasts.dtype) == ((len(positions),), np.float32)
        for photo, warp, factor, varied, position in zip(images.pixels, images.warps, images.contrasts, wanted,
                                                         positions, strict=True):
            own_warp, own_factor = drawn_variation((32, 32), generator_of(3, 2, position))
            np.testing.assert_array_equal(warp, own_warp)
            assert factor == own_factor
            assert np.mean(np.abs(by_a_device(photo, warp, factor) - varied) <= 2 / 255) >= 0.99


def test_a_part_of_photos_as_bytes_has_its_own_variations(store):
    """A batch that does not fit into memory is computed in parts."""
    images, _ = next(iter(batches_of(store, 6, 6, seed=3, augmented=True).as_bytes()))
    part = images[2:5]
    assert len(part) == 3
    for whole, of_part in ((images.pixels, part.pixels), (images.warps, part.warps),
                           (images.contrasts, part.contrasts)):
        np.testing.assert_array_equal(of_part, whole[2:5])


def test_statistics_and_validation_get_bytes_too_and_unvaried(store):
    """`head` gives what batch normalisation's statistics are computed of."""
    batches = batches_of(store, 14, 4, seed=3, shuffle=True, augmented=True)
    for (images, _), (wanted, _) in zip(batches.as_bytes().head(2), batches.head(2), strict=True):
        assert images.warps is None
        np.testing.assert_array_equal(images.pixels / np.float32(255), wanted)


def test_photos_as_bytes_have_one_range():
    """A device gives [0, 1]; who asked for [0, 255] must not get something else silently."""
    with pytest.raises(ValueError, match="255"):
        PhotoBatches(None, np.arange(2), np.arange(2), 2, 2, raw=True).as_bytes()


def test_bytes_too_lie_in_memory_that_is_used_again_only_when_nobody_holds_them(store):
    """A copy to a device may still be under way."""
    kept = [images[:1] for images, _ in batches_of(store, 14, 2).as_bytes()]
    for number, photos in enumerate(kept):
        np.testing.assert_array_equal(photos.pixels[0], store.pixels[2 * number])


def test_a_damaged_store_stops_the_epoch_with_its_reason(prepared):
    """The error arises in the reading thread; training must hear of it and not wait for ever."""
    file = prepared.store.shards[0].folder / "values.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    store = type(prepared.store).open(prepared.store.folder)
    assert store is not None
    shutil.rmtree(prepared.source.root)  # so that the row cannot be made again
    n = len(store.checksums)
    with pytest.raises(DataError, match="damaged"):
        list(PhotoBatches(store, np.arange(n), np.zeros(n, int), 2, 4))


def test_leaving_an_epoch_early_leaves_no_thread_behind():
    """Early stopping and Ctrl-C: a thread that waits for ever would keep the process and its memory."""
    drawn = []

    def endless():
        while True:
            drawn.append(1)
            yield np.zeros(1), np.zeros(1)

    ahead = prepared_ahead(endless())
    next(ahead)
    ahead.close()
    for thread in threading.enumerate():
        if thread.name == "matlens-batches":
            thread.join(timeout=300)
            assert not thread.is_alive()
    assert len(drawn) <= 5  # what was used, what lay ready, and one at hand


def test_photos_are_read_for_judging_as_they_are_for_training(prepared, photos):
    """Two ways of reading must not make two datasets; the last, smaller batch counts too."""
    part = prepared.split.part("train")
    read = list(read_photos(photos, part, (32, 32), batch_size=4))
    assert [len(batch) for batch in read] == [4] * (len(part) // 4) + ([len(part) % 4] if len(part) % 4 else [])
    trained = np.concatenate([images for images, _ in part_batches(prepared.split, "train", prepared.store, 4)])
    np.testing.assert_array_equal(np.concatenate(read), trained)


def test_broken_photos_are_named_left_out_and_left_alone(photos, tmp_path, capsys):
    """Even with --quiet the user hears which photos are not trained on; the files stay as they are."""
    for number in range(7):
        (photos / "a" / f"broken{number}.jpg").write_bytes(b"text %d" % number)
    (photos / "a" / "notes.txt").write_text("by hand")
    shutil.copytree(photos, tmp_path / "before")
    found = prepare(Settings(data_dir=photos, img_size=(32, 32), cache_dir=tmp_path / "cache"), Reporter(quiet=True))
    told = capsys.readouterr().err
    assert "7 photos in" in told
    assert "a/broken0.jpg (not an image)" in told
    assert "and 2 more" in told
    assert [left.path for left in found.split.left_out] == [f"a/broken{number}.jpg" for number in range(7)]
    assert len(found.split.photos) == 14
    assert {path.relative_to(photos): path.read_bytes() for path in photos.rglob("*.*")} == {
        path.relative_to(tmp_path / "before"): path.read_bytes() for path in (tmp_path / "before").rglob("*.*")}
