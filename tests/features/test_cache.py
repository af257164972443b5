"""Cached features: whole ones are used, others are computed again, and no result comes from a damaged cache."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from matlens.data.pixels.augment import view_of
from matlens.data.pixels.store import PixelStore, hash_photos, prepare_store
from matlens.data.source.sources import open_source
from matlens.errors import CacheError, ModelError
from matlens.features.cache import FeatureCache, cached_features
from matlens.system.caches import writing
from matlens.system.console import Reporter
from matlens.system.shards import shard as module

SIDE = 32


class Pooling:
    """Answers with each photo's mean colours, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    shape = (3,)

    def run(self, photos, n, keep, on_progress=None):
        self.calls += 1
        for index, photo in enumerate(photos):
            keep(index, photo.mean(axis=(0, 1)).astype(np.float32))


class Mapping:
    """Answers with each photo's corner, the last photo first, and counts."""

    shape = (2, 2, 3)

    def __init__(self) -> None:
        self.calls = 0

    def run(self, photos, n, keep, on_progress=None):
        self.calls += 1
        for index, photo in reversed(list(enumerate(photos))):
            keep(index, photo[:2, :2].astype(np.float32) / 7)


@pytest.fixture
def store(drawn: Path, tmp_path: Path) -> PixelStore:
    source = open_source(drawn)
    hashes = hash_photos(source.root, [photo.path for photo in source.photos])[0]
    return prepare_store(source.root, hashes, (SIDE, SIDE), tmp_path)


@pytest.fixture
def cache(store: PixelStore, tmp_path: Path) -> FeatureCache:
    warn = Reporter(quiet=True).warn
    return FeatureCache(tmp_path, "key", "some_model", store, engine, warn=warn)


def engine(pooled: bool) -> Pooling | Mapping:
    return Pooling() if pooled else Mapping()


def test_features_are_computed_once_and_are_of_the_photos_asked_for(cache, store, tmp_path):
    """A second run in seconds is what the cache is for; rows of other photos would be worse than none."""
    digests = sorted(store.rows)[:5]
    first = cache.features(digests)
    expected = [store.read([store.rows[digest]])[0].mean(axis=(0, 1)) for digest in digests]
    np.testing.assert_allclose(first, expected, rtol=1e-6)
    np.testing.assert_array_equal(cache.features(digests), first)
    assert cache._pooling.calls == 1
    np.testing.assert_array_equal(cache.features(digests[::-1]), first[::-1])
    np.testing.assert_array_equal(cache.features(digests[2:4] + digests[:1] * 2), first[[2, 3, 0, 0]])
    assert cache._pooling.calls == 1, "in another order, and of some of them, they are the same features"
    cache.features(digests, view=1)
    assert cache._pooling.calls == 2, "another view is other features"
    np.testing.assert_array_equal(cached_features(tmp_path, cache.key(digests), 5), first)


@pytest.mark.parametrize("damage", ["altered", "cut off", "gone", "another version", "no json"])
def test_what_is_not_whole_is_made_again(cache, store, tmp_path, damage):
    """A result must never come from a damaged cache."""
    digests = sorted(store.rows)[:4]
    first = np.array(cache.features(digests))
    folder, = (tmp_path / "features").glob("*-*")
    data, about = folder / "values.npy", folder / "shard.json"
    if damage == "altered":
        content = bytearray(data.read_bytes())
        content[-3] ^= 64
        data.write_bytes(content)
    elif damage == "cut off":
        data.write_bytes(data.read_bytes()[:-8])
    elif damage == "gone":
        data.unlink()
    elif damage == "another version":
        about.write_text(json.dumps({**json.loads(about.read_text()), "format": 99}))
    else:
        about.write_text("[]")
    assert cached_features(tmp_path, cache.key(digests), 4) is None
    assert [shard.name for shard in cache.feature_shards(digests).missing()] == [folder.name]
    np.testing.assert_array_equal(cache.features(digests), first)
    assert cache._pooling.calls == 2
    assert cached_features(tmp_path, cache.key(digests), 4) is not None


@pytest.mark.parametrize("name", ["whole_entry", "write_json", "_save"])
def test_a_full_disk_costs_keeping_the_features_and_not_the_run(cache, store, tmp_path, monkeypatch, capsys, name):
    """They are in memory by then, after minutes of work; and half of them must not stay."""
    def full(path: Path, *_: object) -> None:
        if name != "whole_entry":
            path.write_bytes(b"half")
        with writing(path, "features"):
            raise OSError(errno.ENOSPC, "No space left on device")

    digests = sorted(store.rows)[:4]
    with monkeypatch.context() as patch:
        patch.setattr(module, name, full)
        first = cache.features(digests)
    warning = " ".join(capsys.readouterr().err.split())
    assert "No space left" in warning
    assert f"{tmp_path}" in warning
    assert "--cache-dir" in warning
    np.testing.assert_allclose(first, [store.read([store.rows[each]])[0].mean(axis=(0, 1)) for each in digests], 1e-6)
    assert not list((tmp_path / "features").glob("*-*"))
    assert cache._pooling.calls == 1
    np.testing.assert_array_equal(cache.features(digests), first)
    assert cached_features(tmp_path, cache.key(digests), 4) is not None


def test_a_view_follows_from_the_photo_and_its_number_alone(store):
    """Views that followed the seed would be computed anew for each of three seeds."""
    digest, other = sorted(store.rows)[:2]
    photo = store.read([store.rows[digest]])[0]
    np.testing.assert_array_equal(view_of(photo, digest, 1), view_of(photo, digest, 1))
    assert view_of(photo, digest, 1).dtype == np.uint8
    assert not np.array_equal(view_of(photo, digest, 1), view_of(photo, digest, 2))
    assert not np.array_equal(view_of(photo, digest, 1), view_of(photo, other, 1))


def test_activations_are_computed_once_and_are_of_the_photos_asked_for(cache, store):
    """Gigabytes and minutes; seeds and resumed runs share them."""
    digests = sorted(store.rows)[:5]
    first = cache.activations(digests)
    photos = np.stack([store.read([store.rows[digest]])[0] for digest in digests])
    wanted = (photos[:, :2, :2].astype(np.float32) / 7).astype(np.float16)
    np.testing.assert_array_equal(first[np.arange(5)], wanted.astype(np.float32))
    np.testing.assert_array_equal(cache.activations(digests)[np.array([3, 0])], first[np.array([3, 0])])
    assert cache._mapping.calls == 1
    folders = {cache.activations(*wanted).folder for wanted in (
        (digests,), (digests[::-1],), (digests, 1), (digests, 0, "float32"))}
    assert len(folders) == 4
    assert cache._mapping.calls == 3, "another view and precision are others; another order is the same maps"
    np.testing.assert_array_equal(cache.activations(digests[::-1])[np.arange(5)], first[np.arange(5)][::-1])


def test_how_much_activations_will_take_is_known_before_they_are_computed(cache, store):
    """A disk that fills up in the night stops whatever else writes there."""
    digests = sorted(store.rows)[:5]
    assert cache.bytes_to_write(digests, 0, "float16") == 5 * 2 * 2 * 3 * 2
    assert cache.bytes_to_write(digests, 0, "float32") == 5 * 2 * 2 * 3 * 4
    kept = cache.activations(digests)
    assert cache.bytes_to_write(digests, 0, "float16") == 0
    assert cache.bytes_to_write(digests, 1, "float16") > 0
    assert kept.values[:].nbytes == 5 * 2 * 2 * 3 * 2
    assert cache.bytes_to_write(sorted(store.rows)[:6], 0, "float16") == 2 * 2 * 3 * 2, "a new photo costs itself"


def test_nothing_is_kept_of_a_trunk_that_is_not_confirmed(store, tmp_path):
    """Wrong features would make wrong heads for as long as the cache lives."""
    def refuse() -> None:
        raise ModelError("the trunk differs")

    cache = FeatureCache(tmp_path, "key", "some_model", store, engine, confirm=refuse)
    for compute in (cache.features, cache.activations):
        with pytest.raises(ModelError, match="the trunk differs"):
            compute(sorted(store.rows)[:3])
    assert (cache._pooling.calls, cache._mapping.calls) == (1, 1), "computed beside the confirmation"
    assert not [shard for kind in ("features", "activations") for shard in (tmp_path / kind).glob("*-*")]


def test_activations_that_cannot_be_written_are_an_error(cache, store, tmp_path, monkeypatch):
    """They are not in memory, so training must go another way."""
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_save", full)
    with pytest.raises(CacheError, match=r"activations.*No space left.*--cache-dir"):
        cache.activations(sorted(store.rows)[:3])
    assert not list((tmp_path / "activations").glob("*-*"))
