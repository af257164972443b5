"""Activations at a layer inside the trunk, one feature map a photo, cached on disk and read in batches.

They lie in shards of (n, h, w, K) float16 or float32 (`matlens.system.shards`). A row's checksum is compared whenever
the row is read.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.errors import CacheError, ModelError
from matlens.system.caches import Say, silent
from matlens.system.shards.gathered import ShardedRows
from matlens.system.shards.shard import WriteRow
from matlens.system.shards.sharded import OpenIndex, ShardedValues, open_index
from matlens.types import Array, Progress

Compute = Callable[[tuple[str, ...], Callable[[int, Array], None], Progress], object]
"""Computes the activations of photos, by their SHA-256, and calls the function with (number, values) of each, in any
order."""


@dataclass(frozen=True)
class Activations:
    """Feature maps on disk. folder: of their index. values: (N, h, w, K); checksums: (N,) CRC-32 of each row.

    shards: the folders in which they lie.
    """

    folder: Path
    values: ShardedRows
    checksums: npt.NDArray[np.uint32]
    shards: tuple[Path, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, h, w, K)."""
        return self.values.shape

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> Array:
        """Copy rows, (B, h, w, K) float32. Raises CacheError where one is not what was written."""
        chosen = self.values[rows]
        for row, value in zip(rows, chosen, strict=True):
            if zlib.crc32(value.data) != self.checksums[row]:
                raise CacheError(f"The activations in {self.shards[self.values.where(int(row))[0]]} are damaged at row "
                                 f"{row} of {self.folder}. The same command computes those of that folder again.")
        return np.asarray(chosen, dtype=np.float32)

    @classmethod
    def of(cls, index: OpenIndex) -> Activations:
        """Return the activations of an index."""
        return cls(index.folder, index.values, index.checksums, tuple(shard.folder for shard in index.shards))

    @classmethod
    def open(cls, folder: Path) -> Activations | None:
        """Open the activations of an index. Returns None where they are missing, not whole, or of another version."""
        index = open_index(folder)
        return None if index is None or len(index.values.shape) != 4 else cls.of(index)


def activation_shards(cache_dir: Path, rules: str, digests: Sequence[str], row_shape: Callable[[], tuple[int, ...]],
                      dtype: str, compute: Compute, about: Mapping[str, Any] = MappingProxyType({}), say: Say = silent,
                      ) -> ShardedValues:
    """Return activations as shards; see `ShardedValues`.

    Building one raises ModelError where a value is too large for `dtype` (float16 ends at 65504).
    """
    return ShardedValues(cache_dir, "activations", "activations", rules, digests, dtype, row_shape,
                         partial(_fill, compute, dtype), about, say=say)


def _fill(compute: Compute, dtype: str, digests: tuple[str, ...], write: WriteRow, on_progress: Progress,
          ) -> Mapping[str, Any]:
    def keep(row: int, values: Array) -> None:
        with np.errstate(over="ignore"):
            stored = values.astype(dtype)
        if not np.isfinite(stored).all():
            raise ModelError(f"Activations of the photo {digests[row]} (SHA-256) are too large for {dtype}. "
                             "Use --activations float32, or --no-feature-cache.")
        write(row, stored)

    compute(digests, keep, on_progress)
    return {}
