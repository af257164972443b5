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
from dataclasses import dataclass

from matlens.data.split.alignment import PhotoView, how_same, view_of
from matlens.data.split.clusters import Clusters
from matlens.data.split.signatures import candidates, oriented
from matlens.types import Pixels, Progress, unheard

_PAIRS = 128
"""Pairs that are compared at a time: the views of their photos are in memory."""

_Seen = tuple[int, int]
"""A photo and the orientation that it is seen in."""


@dataclass(frozen=True)
class Copies:
    """Photos that look the same. indices: sorted, at least two. changes: what tells them apart besides encoding, size
    and light: any of "mirrored", "turned" and "cut"."""

    indices: tuple[int, ...]
    changes: tuple[str, ...] = ()


def near_duplicates(signatures: Sequence[bytes], read: Callable[[int], Pixels | None],
                    on_progress: Progress = unheard) -> list[tuple[int, ...]]:
    """Find groups of copies as `find_copies` does. Returns their indices."""
    return [copies.indices for copies in find_copies(signatures, read, on_progress)]


def find_copies(signatures: Sequence[bytes], read: Callable[[int], Pixels | None],
                on_progress: Progress = unheard) -> list[Copies]:
    """Find groups of photos that look the same.

    Every link between two photos of a group is confirmed on pixels, so similar signatures alone never enlarge a group.
    The groups do not depend on the order of the photos. A few pairs are compared for each photo, however many photos
    are alike.

    Args:
        signatures: `signature_of` each photo.
        read: returns the pixels of photo i, (H, W, 3) uint8 of any size, or None. Threads call it, for candidates only.
        on_progress: called with (photos compared, all photos).

    Returns:
        The groups, sorted.
    """
    clusters: Clusters[int] = Clusters()
    changes: dict[tuple[int, int], set[str]] = {}
    chosen = candidates(signatures)
    pairs, orientations = chosen.pairs.tolist(), chosen.orientation.tolist()

    def view(wanted: _Seen) -> PhotoView | None:
        pixels = read(wanted[0])
        return None if pixels is None else view_of(oriented(pixels, wanted[1]))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(pairs), _PAIRS):
            these = slice(start, start + _PAIRS)
            open_pairs = [((i, 0), (j, orientation))
                          for (i, j), orientation in zip(pairs[these], orientations[these], strict=True)
                          if not clusters.are_joined(i, j)]
            needed = sorted({wanted for pair in open_pairs for wanted in pair})
            views = dict(zip(needed, pool.map(view, needed), strict=True))
            verdicts = pool.map(lambda pair, views=views: _verdict(views[pair[0]], views[pair[1]]), open_pairs)
            for ((i, _), (j, orientation)), how in zip(open_pairs, verdicts, strict=True):
                if how is not None:
                    clusters.join(i, j)
                    changes[i, j] = _changes(orientation, how)
            on_progress(len(signatures) * start // len(pairs), len(signatures))
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
