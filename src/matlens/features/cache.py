"""Features of a frozen trunk, computed once for each photo and view, and kept.

    <cache>/features/<key>/
        features.npy      (N, K) float32, averaged over places
        features.json     what they are of, and a checksum

The key is of the trunk (`trunks.weights_key`), the photos' content in their order, their decoding, and the view.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from matlens.caches import kept_or_made, note_use, whole_entry
from matlens.console import Reporter
from matlens.data.augment import view_of
from matlens.data.store import PixelStore
from matlens.errors import RunFolderError
from matlens.features.engine import PooledEngine
from matlens.features.trunks import CachedTrunk
from matlens.files import checksum, read_json, write_json

Array = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]

_FORMAT = 1


@dataclass(frozen=True)
class FeatureCache:
    """Computes and keeps the features of one trunk over one store of photos."""

    cache_dir: Path
    trunk: CachedTrunk
    store: PixelStore
    reporter: Reporter

    def features(self, digests: Sequence[str], view: int = 0,
                 on_progress: Progress = lambda done, total: None) -> Array:
        """(N, K) float32 for photos named by content: kept ones if they are whole, else computed and kept.

        Where they cannot be written, a warning is given: they are in memory, so the run goes on.
        """
        key = self.key(digests, view)
        folder = features_folder(self.cache_dir, key)
        computed: list[Array] = []

        def make() -> None:
            computed.append(self._engine.pooled(self._photos(digests, view), len(digests), on_progress))
            with whole_entry(folder, "features") as partial:
                np.save(partial / "features.npy", computed[0])
                write_json(partial / "features.json", {
                    "format": _FORMAT, "model": self.trunk.folder.name.partition("-")[0],
                    "trunk": self.trunk.weights_key, "view": view, "photos": len(digests),
                    "sha256": checksum(partial / "features.npy")})

        try:
            return kept_or_made(folder, "features", lambda _: kept_features(self.cache_dir, key, len(digests)), make,
                                self.reporter.say)
        except RunFolderError as error:
            if not computed:
                raise
            self.reporter.warn(f"{error} This run goes on; another one computes these features again.")
            return computed[0]

    @cached_property
    def _engine(self) -> PooledEngine:
        height, width = self.store.pixels.shape[1:3]
        return PooledEngine(self.trunk.folder / "trunk.xml", (height, width))

    def key(self, digests: Sequence[str], view: int = 0) -> str:
        """The name of the folder that keeps these features."""
        about = json.dumps([_FORMAT, self.trunk.weights_key, self.store.decoding, view])
        return hashlib.sha256("\n".join([about, *digests]).encode()).hexdigest()[:24]

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
