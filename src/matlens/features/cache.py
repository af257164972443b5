"""What a frozen trunk, or the front of one, makes of each photo and view: computed once, and kept.

    <cache>/features/<key>/
        features.npy      (N, K) float32, averaged over places
        features.json     what they are of, and a checksum
    <cache>/activations/<key>/      see `activations`

The key is of the trunk (`TrunkOrder.key`), the photos' content in their order, their decoding, and the view.
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

from matlens.data.pixels.augment import view_of
from matlens.data.pixels.store import PixelStore
from matlens.data.split.splits import Photo, Split
from matlens.errors import CacheError
from matlens.features.activations import Activations
from matlens.features.engine import Engine, features_of
from matlens.system.caches import Say, kept_or_made, note_use, silent, whole_entry
from matlens.system.files import checksum, read_json, write_json
from matlens.types import Array, Progress

_FORMAT = 1


@dataclass(frozen=True)
class Wanted:
    """One view of some photos, named by content. part: "all", "train" or "val"."""

    part: str
    view: int
    digests: tuple[str, ...]


def feature_parts(split: Split, views: int, *, pooled: bool) -> tuple[Wanted, ...]:
    """What a training needs: the training photos in all views, the others as they are.

    pooled: view 0 of all photos in one, since averaged features of the test part are used too; by content, so that
        all splits of the same photos share them.
    """
    train, val = (tuple(photo.sha256 for photo in split.part(part)) for part in ("train", "val"))
    varied = tuple(Wanted("train", view, train) for view in range(1, views))
    if pooled:
        return (Wanted("all", 0, tuple(sorted({photo.sha256 for photo in split.photos}))), *varied)
    return (Wanted("train", 0, train), *varied, Wanted("val", 0, val))


def rows_of(photos: Iterable[Photo], digests: Sequence[str]) -> npt.NDArray[np.int64]:
    """(N,) where each photo's content stands in `digests`."""
    row = {digest: index for index, digest in enumerate(digests)}
    return np.array([row[photo.sha256] for photo in photos], dtype=np.int64)


def _unheard(done: int, total: int) -> None:
    pass


@dataclass(frozen=True)
class FeatureCache:
    """Computes and keeps what one trunk makes of the photos of one store.

    trunk_key: `TrunkOrder.key`.
    model: whose trunk it is.
    engine_for: gives the engine that averages over places, or (False) the one that does not; asked if there is work.
    by: what computes, "openvino" or "framework": the figures differ in the last digits.
    confirm: called before anything is kept; raises if the trunk is not what it should be.
    say, warn: told that another run is waited for, and that something could not be kept.
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

    def features(self, digests: Sequence[str], view: int = 0, on_progress: Progress = _unheard) -> Array:
        """(N, K) float32 for photos named by content: kept ones if they are whole, else computed and kept.

        Where they cannot be written, a warning is given: they are in memory, so the run goes on.
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
            return kept_or_made(folder, "features", lambda _: kept_features(self.cache_dir, key, len(digests)), make,
                                self.say)
        except CacheError as error:
            if not computed:
                raise
            self.warn(f"{error} This run goes on; another one computes these features again.")
            return computed[0]

    def activations(self, digests: Sequence[str], view: int = 0, dtype: str = "float16",
                    on_progress: Progress = _unheard) -> Activations:
        """(N, h, w, K): kept ones if they are there, else computed and kept. Raises CacheError without room."""
        folder = self.activations_folder(digests, view, dtype)

        def make() -> None:
            Activations.write(folder, (len(digests), *self.map_shape), dtype,
                              partial(self._fill, digests, view, on_progress), self._about(digests, view))

        return kept_or_made(folder, "activations", Activations.open, make, self.say)

    def _about(self, digests: Sequence[str], view: int) -> dict[str, object]:
        return {"model": self.model, "trunk": self.trunk_key, "view": view, "photos": len(digests)}

    def keeps(self, digests: Sequence[str], view: int, kind: str) -> bool:
        """Whether features ("pooled") or activations (their dtype) are there and whole."""
        if kind == "pooled":
            return kept_features(self.cache_dir, self.key(digests, view), len(digests)) is not None
        return Activations.open(self.activations_folder(digests, view, kind)) is not None

    @property
    def map_shape(self) -> tuple[int, ...]:
        """(h, w, K) of one photo's activations."""
        return self._mapping.shape

    def bytes_to_keep(self, digests: Sequence[str], view: int, dtype: str) -> int:
        """What activations would take on disk; 0 where they are kept already."""
        if (self.activations_folder(digests, view, dtype) / "activations.json").exists():
            return 0
        return len(digests) * int(np.prod(self.map_shape)) * np.dtype(dtype).itemsize

    def activations_folder(self, digests: Sequence[str], view: int, dtype: str) -> Path:
        """Where activations are kept."""
        return self.cache_dir / "activations" / self.key(digests, view, dtype)

    def key(self, digests: Sequence[str], view: int = 0, kind: str = "pooled") -> str:
        """The name of the folder that keeps these features."""
        about = json.dumps([_FORMAT, self.trunk_key, self.store.decoding, view, kind, self.by])
        return hashlib.sha256("\n".join([about, *digests]).encode()).hexdigest()[:24]

    def _fill(self, digests: Sequence[str], view: int, on_progress: Progress,
              keep: Callable[[int, Array], None]) -> None:
        self._mapping.run(self._photos(digests, view), len(digests), keep, on_progress)
        self.confirm()

    @cached_property
    def _pooling(self) -> Engine:
        return self.engine_for(True)

    @cached_property
    def _mapping(self) -> Engine:
        return self.engine_for(False)

    def _photos(self, digests: Sequence[str], view: int) -> Iterator[npt.NDArray[np.uint8]]:
        for digest in digests:
            photo = self.store.read([self.store.rows[digest]])[0]
            yield photo if view == 0 else view_of(photo, digest, view)


def features_folder(cache_dir: Path, key: str) -> Path:
    """Where features are kept."""
    return cache_dir / "features" / key


def kept_features(cache_dir: Path, key: str, n: int) -> Array | None:
    """Features (n, K) that were kept; None where they are not there, of another version, cut off or altered."""
    folder = features_folder(cache_dir, key)
    try:
        about = read_json(folder / "features.json")
        if about["format"] != _FORMAT or checksum(folder / "features.npy") != about["sha256"]:
            return None
        found: Array = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
        if found.ndim != 2 or len(found) != n or found.dtype != np.float32:
            return None
        note_use(folder)
        return found
    except (OSError, ValueError, KeyError, TypeError):
        return None
