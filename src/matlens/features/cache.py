"""Features and activations of photos: a frozen trunk, or the front of one, computes them once for each view.

    <cache>/features/<key>/
        features.npy      (N, K) float32, averaged over places
        features.json     the model, the trunk, the view, the number of photos, and a checksum
    <cache>/activations/<key>/      see `activations`

The key is made of the trunk (`TrunkOrder.key`), the photos' content in their order, their decoding, and the view.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from matlens.data.ahead import made_in_threads
from matlens.data.pixels.augment import view_of
from matlens.data.pixels.store import PixelStore
from matlens.data.split.splits import Photo, Split
from matlens.errors import CacheError
from matlens.features.activations import Activations
from matlens.features.engine import Engine, features_of
from matlens.system.caches import Say, note_use, opened_or_made, silent, whole_entry
from matlens.system.files import checksum, read_json, write_json
from matlens.system.untrusted import UNREADABLE
from matlens.system.untrusted_arrays import map_array
from matlens.types import Array, Pixels, Progress, unheard

_FORMAT = 1

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

    def features(self, digests: Sequence[str], view: int = 0, on_progress: Progress = unheard) -> Array:
        """Return the features (N, K) float32 of photos, named by content, from the cache, or compute and cache them.

        Where they cannot be written, `warn` is told: they are in memory, so the run goes on.
        """
        key = self.key(digests, view)
        folder = features_folder(self.cache_dir, key)
        computed: list[Array] = []

        def make() -> None:
            computed.append(features_of(self._pooling, self._photos(digests, view), len(digests), on_progress))
            self.confirm()
            with whole_entry(folder, "features") as partial_folder:
                np.save(partial_folder / "features.npy", computed[0])
                write_json(partial_folder / "features.json", {
                    "format": _FORMAT, **self._about(digests, view),
                    "sha256": checksum(partial_folder / "features.npy")})

        try:
            return opened_or_made(folder, "features", lambda _: cached_features(self.cache_dir, key, len(digests)),
                                  make, self.say)
        except CacheError as error:
            if not computed:
                raise
            self.warn(f"{error} This run goes on; another one computes these features again.")
            return computed[0]

    def activations(self, digests: Sequence[str], view: int = 0, dtype: str = "float16",
                    on_progress: Progress = unheard) -> Activations:
        """Return activations (N, h, w, K) from the cache, or compute them. Raises CacheError where there is no room."""
        folder = self.activations_folder(digests, view, dtype)

        def make() -> None:
            Activations.write(folder, (len(digests), *self.map_shape), dtype,
                              partial(self._fill, digests, view, on_progress), self._about(digests, view))

        return opened_or_made(folder, "activations", Activations.open, make, self.say)

    def _about(self, digests: Sequence[str], view: int) -> dict[str, object]:
        return {"model": self.model, "trunk": self.trunk_key, "view": view, "photos": len(digests)}

    def holds(self, digests: Sequence[str], view: int, kind: str) -> bool:
        """Return whether features ("pooled") or activations (their dtype) are in the cache and whole."""
        if kind == "pooled":
            return cached_features(self.cache_dir, self.key(digests, view), len(digests)) is not None
        return Activations.open(self.activations_folder(digests, view, kind)) is not None

    @property
    def map_shape(self) -> tuple[int, ...]:
        """The shape (h, w, K) of one photo's activations."""
        return self._mapping.shape

    def bytes_to_write(self, digests: Sequence[str], view: int, dtype: str) -> int:
        """Return the bytes that activations will take on disk; 0 where they are in the cache already."""
        if (self.activations_folder(digests, view, dtype) / "activations.json").exists():
            return 0
        return len(digests) * int(np.prod(self.map_shape)) * np.dtype(dtype).itemsize

    def activations_folder(self, digests: Sequence[str], view: int, dtype: str) -> Path:
        """Name the folder of activations."""
        return self.cache_dir / "activations" / self.key(digests, view, dtype)

    def key(self, digests: Sequence[str], view: int = 0, kind: str = "pooled") -> str:
        """Return the name of the folder that holds features ("pooled") or activations (their dtype)."""
        about = json.dumps([_FORMAT, self.trunk_key, self.store.decoding, view, kind, self.by])
        return hashlib.sha256("\n".join([about, *digests]).encode()).hexdigest()[:24]

    def _fill(self, digests: Sequence[str], view: int, on_progress: Progress,
              write_row: Callable[[int, Array], None]) -> None:
        self._mapping.run(self._photos(digests, view), len(digests), write_row, on_progress)
        self.confirm()

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


def cached_features(cache_dir: Path, key: str, n: int) -> Array | None:
    """Read features (n, K) from the cache. Returns None where they are missing, of another version, or damaged."""
    folder = features_folder(cache_dir, key)
    try:
        about = read_json(folder / "features.json")
        if about["format"] != _FORMAT or checksum(folder / "features.npy") != about["sha256"]:
            return None
        features: Array = map_array(folder / "features.npy")
        if features.ndim != 2 or len(features) != n or features.dtype != np.float32:
            return None
        note_use(folder)
        return features
    except UNREADABLE:
        return None
