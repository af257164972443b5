"""One sequence of rows that lie in many shards, mapped from the disk: memory holds what is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.system.shards.planning import Digests, unpacked
from matlens.types import Labels


@dataclass(frozen=True, eq=False)
class ShardedRows:
    """Rows (N, ...) of one dtype.

    parts: the rows of each shard, (n, ...). places: (N,) where each row stands in the parts one after the other.
    """

    parts: tuple[npt.NDArray[Any], ...]
    places: Labels

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape (N, ...)."""
        return (len(self.places), *self.parts[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers."""
        return self.parts[0].dtype

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Any) -> npt.NDArray[Any]:
        """Return one row as it lies in its shard, by its number; or copy rows, by an array of numbers or a slice."""
        if isinstance(rows, int | np.integer):
            part, row = self.where(int(rows))
            found: npt.NDArray[Any] = self.parts[part][row]
            return found
        places = self.places[rows]
        if len(self.parts) == 1:
            return np.asarray(self.parts[0][places])
        copied = np.empty((len(places), *self.shape[1:]), dtype=self.dtype)
        part_of = np.searchsorted(self._starts, places, side="right") - 1
        for part in np.unique(part_of):
            chosen = part_of == part
            copied[chosen] = self.parts[part][places[chosen] - self._starts[part]]
        return copied

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Copy all rows into memory."""
        return np.asarray(self[:], dtype=dtype)

    def where(self, row: int) -> tuple[int, int]:
        """Return the number of the shard in which a row lies, and its number there."""
        place = int(self.places[row])
        part = int(np.searchsorted(self._starts, place, side="right")) - 1
        return part, place - int(self._starts[part])

    def take(self, rows: Labels) -> ShardedRows:
        """Return these rows as a sequence of their own. Nothing is read."""
        return ShardedRows(self.parts, self.places[rows])

    def followed_by(self, others: ShardedRows) -> ShardedRows:
        """Return these rows and then others, of the same shape and dtype. Nothing is read."""
        rows = sum(map(len, self.parts))
        return ShardedRows((*self.parts, *others.parts), np.concatenate([self.places, rows + others.places]))

    @cached_property
    def _starts(self) -> Labels:
        return np.cumsum([0, *map(len, self.parts)])[:-1]


class DigestRows(Mapping[str, int]):
    """The row of each photo by its SHA-256 in hexadecimal, in 32 bytes a photo.

    Made of the digests (N,), sorted, and whether each has a row.
    """

    def __init__(self, digests: Digests, has_row: npt.NDArray[np.bool_]) -> None:
        self._digests, self._has_row = digests, has_row

    def __getitem__(self, digest: str) -> int:
        try:
            key = np.frombuffer(bytes.fromhex(digest), self._digests.dtype)
        except ValueError:
            raise KeyError(digest) from None
        row = int(np.searchsorted(self._digests, key)[0]) if len(key) == 1 else len(self._digests)
        if row == len(self._digests) or self._digests[row] != key[0] or not self._has_row[row]:
            raise KeyError(digest)
        return row

    def __iter__(self) -> Iterator[str]:
        return iter(unpacked(self._digests[self._has_row]))

    def __len__(self) -> int:
        return int(self._has_row.sum())


def joined(parts: Sequence[npt.NDArray[Any]], places: Labels) -> npt.NDArray[Any]:
    """Copy one number a row, (N,), of parts (n,) that lie one after the other."""
    return np.concatenate(parts)[places]
