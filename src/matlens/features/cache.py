"""Features and activations of photos: a frozen trunk, or the front of one, computes them once for each view.

Both lie in shards of photos (`matlens.system.shards`), whose key is made of the trunk (`TrunkOrder.key`), the photos'
content, their decoding, and the view. Runs whose photos overlap share what is of the same photos. An index says where
photos lie, in the order in which they were asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.data.ahead import made_in_threads
from matlens.data.pixels.augment import view_of
from matlens.data.pixels.store import PixelStore
from matlens.data.split.splits import Photo, Split
from matlens.errors import CacheError
from matlens.features.activations import Activations, activation_shards
from matlens.features.engine import Engine, features_of
from matlens.system.caches import Say, note_use, silent
from matlens.system.shards.gathered import ShardedRows
from matlens.system.shards.shard import WriteRow
from matlens.system.shards.sharded import ShardedValues, open_index
from matlens.types import Array, Pixels, Progress, unheard

_FORMAT = 2

_IN_A_THREAD = 16
"""Photos that a thread reads, and varies, at once."""


@dataclass(frozen=True)
class FeaturePart:
    """One view of the photos of a part ("all", "train", "val", or two of them). digests: SHA-256 of their contents."""

    part: str
    view: int
    digests: tuple[str, ...]


def feature_parts(split: Split, views: int, *, pooled: bool) -> tuple[FeaturePart, ...]:
    """List what a training needs: the training photos in all views, the validation photos as they are (view 0).

    pooled: view 0 of all photos together, since averaged features of the test part are used too. They are ordered by
        content, so that all splits of the same photos share them.
    """
    train, val = (tuple(photo.sha256 for photo in split.part(part)) for part in ("train", "val"))
    varied = tuple(FeaturePart("train", view, train) for view in range(1, views))
    if pooled:
        return (FeaturePart("all", 0, tuple(sorted({photo.sha256 for photo in split.photos}))), *varied)
    return (FeaturePart("train", 0, train), *varied, FeaturePart("val", 0, val))


def rows_of(photos: Iterable[Photo], digests: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the rows (N,) at which the photos' contents stand in `digests`."""
    row = {digest: index for index, digest in enumerate(digests)}
    return np.array([row[photo.sha256] for photo in photos], dtype=np.int64)


@dataclass(frozen=True)
class FeatureCache:
    """Computes and caches the features of one trunk for the photos of one store.

    trunk_key: `TrunkOrder.key`.
    model: the model to which the trunk belongs.
    engine_for: returns the engine that averages over places (True) or the one that does not (False); called only if
        something has to be computed.
    by: what computes, "openvino", "openvino bfloat16" or "framework": the numbers differ, at least in the last digits.
    confirm: called before anything is written to the cache; raises if the trunk differs from its framework.
    say: called with a message where another run computes the same. warn: called where features could not be written.
    """

    cache_dir: Path
    trunk_key: str
    model: str
    store: PixelStore
    engine_for: Callable[[bool], Engine]
    by: str = "openvino"
    confirm: Callable[[], object] = lambda: None
    say: Say = silent
    warn: Say = silent

    def features(self, digests: Sequence[str], view: int = 0, on_progress: Progress = unheard) -> ShardedRows:
        """Return the features (N, K) float32 of photos, named by content, from the cache, or compute and cache them.

        Where they cannot be written, `warn` is told: they are in memory, so the run goes on.
        """
        unwritten: dict[tuple[str, ...], Array] = {}
        shards = self.feature_shards(digests, view, unwritten)
        try:
            return shards.opened_or_made(on_progress).values
        except CacheError as error:
            self.warn(f"{error} This run goes on; another one computes these features again.")

        def values_of(digests: tuple[str, ...], on_progress: Progress) -> Array:
            return unwritten[digests] if digests in unwritten else self._confirmed(digests, view, on_progress)

        return shards.in_memory(values_of, on_progress)

    def activations(self, digests: Sequence[str], view: int = 0, dtype: str = "float16",
                    on_progress: Progress = unheard) -> Activations:
        """Return activations (N, h, w, K) from the cache, or compute them. Raises CacheError where there is no room."""
        return Activations.of(self.activation_shards(digests, view, dtype).opened_or_made(on_progress))

    def feature_shards(self, digests: Sequence[str], view: int = 0,
                       unwritten: dict[tuple[str, ...], Array] | None = None) -> ShardedValues:
        """Return the features of photos as shards, of which each can be computed by itself (`ShardedValues.build`).

        unwritten: gets the features of the shard that was computed last, which may not be written.
        """
        def fill(digests: tuple[str, ...], write: WriteRow, on_progress: Progress) -> Mapping[str, Any]:
            features = self._confirmed(digests, view, on_progress)
            if unwritten is not None:
                unwritten.clear()
                unwritten[digests] = features
            for row, values in enumerate(features):
                write(row, values)
            return {}

        return ShardedValues(self.cache_dir, "features", "features", self._rules(view, "pooled"), digests, "<f4",
                             lambda: self._pooling.shape, fill, self._about(view), say=self.say)

    def activation_shards(self, digests: Sequence[str], view: int, dtype: str) -> ShardedValues:
        """Return the activations of photos as shards, of which each can be computed by itself."""
        def compute(digests: tuple[str, ...], keep: Callable[[int, Array], None], on_progress: Progress) -> None:
            self._mapping.run(self._photos(digests, view), len(digests), keep, on_progress)
            self.confirm()

        return activation_shards(self.cache_dir, self._rules(view, dtype), digests, lambda: self.map_shape, dtype,
                                 compute, self._about(view), self.say)

    def holds(self, digests: Sequence[str], view: int, kind: str) -> bool:
        """Return whether features ("pooled") or activations (their dtype) are in the cache and whole."""
        shards = (self.feature_shards(digests, view) if kind == "pooled" else
                  self.activation_shards(digests, view, kind))
        return shards.opened() is not None

    @property
    def map_shape(self) -> tuple[int, ...]:
        """The shape (h, w, K) of one photo's activations."""
        return self._mapping.shape

    def bytes_to_write(self, digests: Sequence[str], view: int, dtype: str) -> int:
        """Return the bytes that activations will take on disk, without those that are in the cache already."""
        missing = self.activation_shards(digests, view, dtype).missing(verify=False)
        if not (photos := sum(len(shard.digests) for shard in missing)):
            return 0
        return photos * int(np.prod(self.map_shape)) * np.dtype(dtype).itemsize

    def key(self, digests: Sequence[str], view: int = 0) -> str:
        """Return the name of the folder that holds the index of features."""
        return self.feature_shards(digests, view).folder.name

    def _rules(self, view: int, kind: str) -> str:
        """Return all that decides features ("pooled") or activations (their dtype) besides the photos' content."""
        return json.dumps([_FORMAT, self.trunk_key, self.store.decoding, view, kind, self.by])

    def _about(self, view: int) -> dict[str, object]:
        return {"model": self.model, "trunk": self.trunk_key, "view": view}

    def _confirmed(self, digests: tuple[str, ...], view: int, on_progress: Progress) -> Array:
        """Compute features (n, K), and have the trunk confirmed before they are used."""
        features = features_of(self._pooling, self._photos(digests, view), len(digests), on_progress)
        self.confirm()
        return features

    @cached_property
    def _pooling(self) -> Engine:
        return self.engine_for(True)

    @cached_property
    def _mapping(self) -> Engine:
        return self.engine_for(False)

    def _photos(self, digests: Sequence[str], view: int) -> Iterator[Pixels]:
        """Yield photos (H, W, 3) uint8, which threads read, and vary, ahead."""
        parts = (digests[start:start + _IN_A_THREAD] for start in range(0, len(digests), _IN_A_THREAD))
        for photos in made_in_threads(partial(self._read, view), parts):
            yield from photos

    def _read(self, view: int, digests: Sequence[str]) -> Iterable[Pixels]:
        photos = self.store.read([self.store.rows[digest] for digest in digests])
        return photos if view == 0 else [view_of(photo, digest, view)
                                         for photo, digest in zip(photos, digests, strict=True)]


def features_folder(cache_dir: Path, key: str) -> Path:
    """Name the folder of features."""
    return cache_dir / "features" / key


def cached_features(cache_dir: Path, key: str, n: int) -> ShardedRows | None:
    """Read features (n, K) from the cache. Returns None where they are missing, of another version, or damaged."""
    folder = features_folder(cache_dir, key)
    index = open_index(folder, verify=True)
    if index is None or len(index.values.shape) != 2 or len(index.values) != n or index.values.dtype != np.float32:
        return None
    for used in (folder, *(shard.folder for shard in index.shards)):
        note_use(used)
    return index.values
