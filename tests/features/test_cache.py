"""Kept features: what is whole is used, what is not is made again, and never does a result come from a damaged one."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from matlens.console import Reporter
from matlens.data.augment import view_of
from matlens.data.sources import open_source
from matlens.data.store import PixelStore, hash_photos, prepare_store
from matlens.features import cache as module
from matlens.features.cache import FeatureCache, kept_features
from matlens.features.trunks import CachedTrunk

SIDE = 32


class Engine:
    """Answers with each photo's mean colours, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def pooled(self, photos, n, on_progress=None):
        self.calls += 1
        return np.stack([photo.mean(axis=(0, 1)) for photo in photos]).astype(np.float32)


@pytest.fixture
def store(drawn: Path, tmp_path: Path) -> PixelStore:
    source = open_source(drawn)
    hashes = hash_photos(source.root, [photo.path for photo in source.photos])[0]
    return prepare_store(source.root, hashes, (SIDE, SIDE), tmp_path)


@pytest.fixture
def cache(store: PixelStore, tmp_path: Path) -> FeatureCache:
    made = FeatureCache(tmp_path, CachedTrunk(tmp_path, "trunk", 0.0, (1, 1), {}), store, Reporter(quiet=True))
    made.__dict__["_engine"] = Engine()
    return made


def test_features_are_computed_once_and_are_of_the_photos_asked_for(cache, store, tmp_path):
    """A second run in seconds is what the cache is for; rows of other photos would be worse than none."""
    digests = sorted(store.rows)[:5]
    first = cache.features(digests)
    expected = [store.read([store.rows[digest]])[0].mean(axis=(0, 1)) for digest in digests]
    np.testing.assert_allclose(first, expected, rtol=1e-6)
    np.testing.assert_array_equal(cache.features(digests), first)
    assert cache._engine.calls == 1
    cache.features(digests[::-1])
    cache.features(digests, view=1)
    assert cache._engine.calls == 3, "another order and another view are other features"
    np.testing.assert_array_equal(kept_features(tmp_path, cache.key(digests), 5), first)


@pytest.mark.parametrize("damage", ["altered", "cut off", "gone", "another version", "no json"])
def test_what_is_not_whole_is_made_again(cache, store, tmp_path, damage):
    """A result must never come from a damaged cache."""
    digests = sorted(store.rows)[:4]
    first = np.array(cache.features(digests))
    folder = tmp_path / "features" / cache.key(digests)
    data, about = folder / "features.npy", folder / "features.json"
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
    assert kept_features(tmp_path, cache.key(digests), 4) is None
    np.testing.assert_array_equal(cache.features(digests), first)
    assert cache._engine.calls == 2
    assert kept_features(tmp_path, cache.key(digests), 4) is not None


@pytest.mark.parametrize("name", ["features.npy", "features.json"])
def test_a_full_disk_costs_keeping_the_features_and_not_the_run(cache, store, tmp_path, monkeypatch, capsys, name):
    """They are in memory by then, after minutes of work; and half of them must not stay."""
    def full(path: Path, *_: object) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    digests = sorted(store.rows)[:4]
    with monkeypatch.context() as patch:
        patch.setattr(module.np if name.endswith("npy") else module, "save" if name.endswith("npy") else "write_json",
                      full)
        first = cache.features(digests)
    warning = " ".join(capsys.readouterr().err.split())
    assert "No space left" in warning
    assert f"{tmp_path}" in warning
    assert "--cache-dir" in warning
    np.testing.assert_allclose(first, [store.read([store.rows[each]])[0].mean(axis=(0, 1)) for each in digests], 1e-6)
    assert not list((tmp_path / "features").iterdir())
    np.testing.assert_array_equal(cache.features(digests), first)
    assert kept_features(tmp_path, cache.key(digests), 4) is not None


def test_a_view_follows_from_the_photo_and_its_number_alone(store):
    """Views that followed the seed would be computed anew for each of three seeds."""
    digest, other = sorted(store.rows)[:2]
    photo = store.read([store.rows[digest]])[0]
    np.testing.assert_array_equal(view_of(photo, digest, 1), view_of(photo, digest, 1))
    assert view_of(photo, digest, 1).dtype == np.uint8
    assert not np.array_equal(view_of(photo, digest, 1), view_of(photo, digest, 2))
    assert not np.array_equal(view_of(photo, digest, 1), view_of(photo, other, 1))
