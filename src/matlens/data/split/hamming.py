"""Find the pairs of hashes that differ in a few bits, without comparing all pairs.

Two hashes that differ in at most d bits are equal in one of d + 1 bands of their bits at least (multi-index hashing:
Norouzi, Punjani and Fleet 2012, "Fast search in Hamming space with multi-index hashing"), so that only hashes with an
equal band are compared. Of a crowd, whose hashes all lie near each other, no pairs are listed: they are linked, which
takes one link for each hash, and a hash that is linked to its crowd is compared with no more of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from matlens.types import Labels

Hashes = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

BITS = 64

CROWD = 8
"""A hash with more others near it than this is in a crowd."""

_LARGE = 4096
"""Hashes with an equal band from which on they are compared in rows, until those that are left are linked."""

_AT_ONCE = 1 << 20  # comparisons
_HALF, _NUMBERS = np.uint64(32), np.uint64(0xFFFF_FFFF)  # of an integer that holds a band and the number of a hash


@dataclass(frozen=True)
class HashView:
    """Hashes (N,) of the same things, seen in another way.

    symmetric: whether hash i of the first view lies as far from hash j of this one as j of the first from i of this.
    """

    hashes: Hashes
    symmetric: bool


def near_pairs(hashes: Hashes, distance: int, views: Iterable[HashView] = (), crowd: int = CROWD) -> Labels:
    """Return pairs of things whose hashes (N,) differ in at most `distance` bits, from 1 to 15, among themselves or
    between them and those of a view.

    Each pair is returned of which neither thing has more than `crowd` others near it, counted in each view. Of the
    others those are returned that link whatever all pairs would link, and at most `crowd` more for each.

    Returns:
        (P, 2), the smaller number first, sorted.
    """
    links = _Links(len(hashes), crowd)
    masks = _masks(distance)
    for view in (HashView(hashes, symmetric=True), *views):
        for number in range(len(masks)):
            _Bands(hashes, view, masks[:number + 1], distance, links).search()
    return links.pairs()


def _masks(distance: int) -> Hashes:
    """Return the masks (d + 1,) of the bands: each bit is in one of them."""
    ends = np.linspace(0, BITS, distance + 2).astype(int)
    return np.array([(1 << high) - (1 << low) for low, high in pairwise(ends)], np.uint64)


class _Links:
    """What is found: pairs of things outside of crowds, and links of a forest over all."""

    def __init__(self, n: int, crowd: int) -> None:
        self._above, self._near, self._crowd = np.arange(n), np.zeros(n, np.int64), crowd
        self._found = [np.zeros(0, np.int64)]

    def crowded(self, things: Labels) -> Flags:
        """Return which things (M,) are known to be in a crowd."""
        return self._near[things] > self._crowd

    def roots(self, things: Labels) -> Labels:
        """Return numbers (M,) that are equal for things that are linked."""
        roots = self._above[things]
        while not np.array_equal(higher := self._above[roots], roots):
            roots = higher
        self._above[things] = roots
        return roots

    def add(self, first: Labels, second: Labels) -> None:
        """Take pairs (M,) that are near each other. A view gives each once."""
        np.add.at(self._near, first, 1)
        np.add.at(self._near, second, 1)
        listed = self._join(first, second) | ~(self.crowded(first) | self.crowded(second))
        first, second = first[listed], second[listed]
        self._found.append(np.minimum(first, second) * len(self._above) + np.maximum(first, second))

    def _join(self, first: Labels, second: Labels) -> Flags:
        """Link pairs (M,). Returns which of them linked what was not linked."""
        needed, left = np.zeros(len(first), bool), np.arange(len(first))
        while True:
            ends = self.roots(first[left]), self.roots(second[left])
            lower, higher = np.minimum(*ends), np.maximum(*ends)
            apart = lower < higher
            left, lower, higher = left[apart], lower[apart], higher[apart]
            if not len(left):
                return needed
            root, place = np.unique(higher, return_index=True)
            self._above[root] = lower[place]  # each root goes below a smaller one, so there is no circle
            needed[left[place]] = True

    def pairs(self) -> Labels:
        """Return the pairs (P, 2) that are listed."""
        return np.stack(np.divmod(np.unique(np.concatenate(self._found)), max(len(self._above), 1)), axis=1)


@dataclass(frozen=True)
class _Bands:
    """The comparison of hashes with those of a view by one band: the last one of `masks`."""

    hashes: Hashes
    view: HashView
    masks: Hashes
    distance: int
    links: _Links

    def search(self) -> None:
        """Take the pairs that have the band in common."""
        rows, columns = (_ordered(values, self.masks[-1]) for values in (self.hashes, self.view.hashes))
        first, end = np.searchsorted(columns, rows & ~_NUMBERS), np.searchsorted(columns, rows | _NUMBERS, "right")
        large = end - first >= _LARGE
        start = np.searchsorted(columns, rows, "right") if self.view.symmetric else first
        row, column = ((values & _NUMBERS).astype(np.int64) for values in (rows, columns))
        for low, high in zip(*(np.unique(ends[large]) for ends in (first, end)), strict=True):
            self._in_rows(row[large & (first == low)], column[low:high])
        open_ones = ~large & (end > start)
        row, start, end = row[open_ones], start[open_ones], end[open_ones]
        open_ones = ~(self.links.crowded(row) & self._are_linked(row, column, start, end))
        row, start, end = row[open_ones], start[open_ones], end[open_ones]
        for some in _shares(end - start):
            count = end[some] - start[some]
            place = np.arange(count.sum()) + np.repeat(start[some] - (np.cumsum(count) - count), count)
            self._take(np.repeat(row[some], count), column[place])

    def _are_linked(self, row: Labels, column: Labels, start: Labels, end: Labels) -> Flags:
        """Return for which rows (M,) all columns from `start` to `end` are linked to them."""
        roots = self.links.roots(column)
        changes = np.concatenate([[0], np.cumsum(roots[1:] != roots[:-1])])
        linked: Flags = (roots[start] == self.links.roots(row)) & (changes[start] == changes[end - 1])
        return linked

    def _in_rows(self, rows: Labels, columns: Labels) -> None:
        """Compare many rows with many columns, until the rows that are left are in one crowd."""
        step = max(_AT_ONCE // len(columns), 16)
        left = np.ones(len(rows), bool)
        while True:
            roots, of_columns = self.links.roots(rows), self.links.roots(columns)
            names, members = np.unique(of_columns, return_counts=True)
            most = names[members.argmax()]
            alone = np.flatnonzero(left & ~((roots == most) & self.links.crowded(rows)))
            if not len(alone):
                break
            chosen = alone[::max(len(alone) // step, 1)][:step]
            self._block(rows[chosen], columns)
            left[chosen] = False
        outside = columns[of_columns != most]
        for some in _shares(np.full(left.sum(), len(outside))):
            self._block(rows[left][some], outside)

    def _block(self, rows: Labels, columns: Labels) -> None:
        near = np.bitwise_count(self.hashes[rows][:, None] ^ self.view.hashes[columns]) <= self.distance
        row, column = np.nonzero(near)
        self._take(rows[row], columns[column])

    def _take(self, first: Labels, second: Labels) -> None:
        """Take those of the pairs (M,) that are near each other and no pairs of an earlier band."""
        differ = self.hashes[first] ^ self.view.hashes[second]
        near = np.flatnonzero(np.bitwise_count(differ) <= self.distance)
        first, second, differ = first[near], second[near], differ[near]
        new = first < second if self.view.symmetric else first != second
        for mask in self.masks[:-1]:
            new &= (differ & mask) != 0
        self.links.add(first[new], second[new])


def _ordered(hashes: Hashes, mask: np.uint64) -> Hashes:
    """Return (N,) integers in order: a band of each hash in the upper half, the hash's number in the lower."""
    lowest = mask & (~mask + np.uint64(1))
    return np.sort((hashes & mask) // lowest << _HALF | np.arange(len(hashes), dtype=np.uint64))


def _shares(sizes: Labels) -> Iterator[slice]:
    """Divide things of these sizes (M,) so that the sizes in a share sum to _AT_ONCE, and the last one of it."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = ends[start] - sizes[start]
        stop = max(int(np.searchsorted(ends, before + _AT_ONCE, "right")), start + 1)
        yield slice(start, stop)
        start = stop
