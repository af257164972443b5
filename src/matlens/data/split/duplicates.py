"""Find copies of photos: candidates by their signatures, and each pair then confirmed on its pixels.

Two photos are copies if one was made from the other by another encoding, resizing, mirroring, quarter turns, a little
more or less light, or cutting off up to about 7 %, or if both are shots of one scene in which nothing moved. Another
photo of the same thing on the same background is no copy.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from matlens.data.split.alignment import PhotoView, how_same, view_of
from matlens.data.split.candidates import Candidates, candidates
from matlens.data.split.clusters import Clusters
from matlens.data.split.signatures import ORIENTATIONS, oriented
from matlens.types import Labels, Pixels, Progress, unheard

_PAIRS = 128
"""Pairs that are compared at a time: the views of their photos are in memory."""

_Seen = tuple[int, int]
"""A photo and the orientation that it is seen in."""

_HOW = (None, "as it is", "cut")
"""What `how_same` says."""

_OPEN = -1
"""In place of a verdict's place in `_HOW`: the pair was not compared."""


@dataclass
class Verdicts:
    """What comparisons of photos said.

    compared: (P, 4) int64: two photos, the smaller number first; how the second one was turned; the place in `_HOW`.
    """

    compared: Labels = field(default_factory=lambda: np.zeros((0, 4), np.int64))

    def of(self, chosen: Candidates, photos: int) -> Labels:
        """Return the verdicts (P,) on candidates among so many photos, `_OPEN` where there is none."""
        asked, known = (_numbered(pairs, orientation, photos) for pairs, orientation in (
            (chosen.pairs, chosen.orientation), (self.compared[:, :2], self.compared[:, 2])))
        order = np.argsort(known)
        place = np.minimum(np.searchsorted(known, asked, sorter=order), max(len(known) - 1, 0))
        if not len(known):
            return np.full(len(asked), _OPEN, np.int64)
        return np.where(known[order[place]] == asked, self.compared[order[place], 3], _OPEN)

    def fit(self, photos: int) -> bool:
        """Return whether all are verdicts on pairs of so many photos: files from elsewhere may hold anything."""
        first, second, orientation, how = self.compared.T
        return bool(((first >= 0) & (first < second) & (second < photos) & (orientation >= 0)
                     & (orientation < ORIENTATIONS) & (how >= 0) & (how < len(_HOW))).all())

    def put(self, chosen: Candidates, verdicts: Labels) -> None:
        """Hold these verdicts on candidates, and no others."""
        rows = np.concatenate([chosen.pairs, chosen.orientation[:, None], verdicts[:, None]], axis=1)
        self.compared = rows[verdicts != _OPEN]


def _numbered(pairs: Labels, orientation: Labels, photos: int) -> Labels:
    return (pairs[:, 0] * photos + pairs[:, 1]) * ORIENTATIONS + orientation


@dataclass(frozen=True)
class Copies:
    """Photos that look the same. indices: sorted, at least two. changes: what tells them apart besides encoding, size
    and light: any of "mirrored", "turned" and "cut"."""

    indices: tuple[int, ...]
    changes: tuple[str, ...] = ()


def find_copies(signatures: Sequence[bytes], read: Callable[[int], Pixels | None],
                on_progress: Progress = unheard, known: Verdicts | None = None) -> list[Copies]:
    """Find groups of photos that look the same.

    Every link between two photos of a group is confirmed on pixels, so similar signatures alone never enlarge a group.
    The groups do not depend on the order of the photos. A few pairs are compared for each photo, however many photos
    are alike.

    Args:
        signatures: `signature_of` each photo.
        read: returns the pixels of photo i, (H, W, 3) uint8 of any size, or None. Threads call it, for candidates only.
        on_progress: called with (photos compared, all photos).
        known: verdicts on pairs of these photos, which are not compared again. In the end it holds this search's.

    Returns:
        The groups, sorted.
    """
    clusters: Clusters[int] = Clusters()
    changes: dict[tuple[int, int], set[str]] = {}
    chosen = candidates(signatures)
    pairs, orientations = chosen.pairs.tolist(), chosen.orientation.tolist()
    known = Verdicts() if known is None else known
    said = known.of(chosen, len(signatures))

    def view(wanted: _Seen) -> PhotoView | None:
        pixels = read(wanted[0])
        return None if pixels is None else view_of(oriented(pixels, wanted[1]))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(pairs), _PAIRS):
            of_these = [number for number in range(start, min(start + _PAIRS, len(pairs)))
                        if not clusters.are_joined(*pairs[number])]
            open_pairs = {number: ((pairs[number][0], 0), (pairs[number][1], orientations[number]))
                          for number in of_these if said[number] == _OPEN}
            needed = sorted({wanted for pair in open_pairs.values() for wanted in pair})
            views = dict(zip(needed, pool.map(view, needed), strict=True))
            verdicts = pool.map(lambda pair, views=views: _verdict(views[pair[0]], views[pair[1]]), open_pairs.values())
            for number, how in zip(open_pairs, verdicts, strict=True):
                said[number] = _HOW.index(how)
            for number in of_these:
                if (how := _HOW[said[number]]) is not None:
                    clusters.join(*pairs[number])
                    changes[tuple(pairs[number])] = _changes(orientations[number], how)
            on_progress(len(signatures) * start // len(pairs), len(signatures))
    known.put(chosen, said)
    on_progress(len(signatures), len(signatures))
    return _grouped(clusters, changes)


def _verdict(first: PhotoView | None, second: PhotoView | None) -> str | None:
    return None if first is None or second is None else how_same(first, second)


def _changes(orientation: int, how: str) -> set[str]:
    """Say what was done to one photo of a pair: an odd number of exchanges and reversals mirrors, an even one turns."""
    said = {"cut"} if how == "cut" else set()
    if orientation:
        said.add("mirrored" if orientation.bit_count() % 2 else "turned")
    return said


def _grouped(clusters: Clusters[int], changes: dict[tuple[int, int], set[str]]) -> list[Copies]:
    groups = clusters.groups()
    group_of = {index: number for number, group in enumerate(groups) for index in group}
    said: dict[int, set[str]] = defaultdict(set)
    for (i, _), words in changes.items():
        said[group_of[i]] |= words
    return [Copies(group, tuple(sorted(said[number]))) for number, group in enumerate(groups)]
