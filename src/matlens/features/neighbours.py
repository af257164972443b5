"""Find test photos that lie far nearer to a training photo than photos of their class lie to each other.

Around a photo, independent photos lie at distances whose d-th powers are evenly spread, where d is the intrinsic
dimension of their features. So of the k - 1 photos that are nearer than the k-th, the nearest lies within a part r of
its distance with a probability of 1 - (1 - r^d)^(k - 1). The 6th to 16th distance of the photos of a class give d, by
maximum likelihood (Levina and Bickel 2004), the median over photos. A probability below 1 % is far nearer than chance
has it: another shot of the same object or scene. Of more than five shots of an object the sixth neighbour is one,
too, which this does not see; file names and times mostly tell of these (`matlens.data.hidden`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matlens.data.split.splits import Split
from matlens.types import Array, Floats, Labels, Rows

RARE = 0.01
"""The probability of an independent photo as near as that, below which a photo counts as far nearer."""

LEAST_SHARE = 0.1
"""The least share of test photos with such a neighbour for a warning; it is 0.05 on TrashNet (MobileNetV2)."""

_LEAST_COUNT = 3
_NEAR, _FAR = 6, 16
"""The ranks of the distances that tell the dimension; a photo with fewer others in its class is passed over."""

_EXAMPLES = 3

MOST_PAIRS = 500_000_000
"""Pairs of photos that are compared: those of a million photos in 23 classes are ten times as many."""

_CELLS = 8_000_000
"""Pairs, or numbers of photos' features, that are in memory at once."""


@dataclass(frozen=True)
class NearNeighbours:
    """The test photos with a far nearer photo in train or val, nearest first: (path, path of that photo).

    looked_at: the test photos that were compared.
    """

    pairs: tuple[tuple[str, str], ...]
    looked_at: int

    @property
    def is_suspicious(self) -> bool:
        """Whether these are too many for chance and for the few alike photos that any dataset has."""
        return len(self.pairs) >= max(_LEAST_COUNT, LEAST_SHARE * self.looked_at)

    def remark(self) -> str | None:
        """Return the sentence that a reader of the results must know, or None if there is nothing to say."""
        if not self.is_suspicious:
            return None
        examples = "; ".join(f"{path} like {other}" for path, other in self.pairs[:_EXAMPLES])
        return (f"{len(self.pairs):,} of {self.looked_at:,} test photos lie far nearer to a photo of the training "
                f"or validation set than photos of a class do (such as {examples}). If they show the same objects or "
                "scenes, the results are too good for photos of others: say what belongs together with --groups.")


def near_neighbours(split: Split, features: Rows, most_pairs: int = MOST_PAIRS) -> NearNeighbours:
    """Compare the test photos of a split with its other photos, by features (N, K) of `split.photos`, in their order.

    Photos that the split knows to belong together are not compared with each other: a divided copy is another finding.
    most_pairs: of larger classes as many test photos are drawn, with a fixed seed, as this allows; each of them is
        compared with all other photos of its class, so that the share of those with a far nearer one is as in all.
    """
    groups = split.groups_of(split.photos)
    labels, is_test = split.labels(split.photos), np.array([photo.part == "test" for photo in split.photos])
    found: list[tuple[float, str, str]] = []
    looked_at, paths = 0, [photo.path for photo in split.photos]
    compared = {number: [np.flatnonzero((labels == number) & chosen) for chosen in (is_test, ~is_test)]
                for number in range(len(split.class_names))}
    share = min(1.0, most_pairs / max(sum(len(tested) * len(others) for tested, others in compared.values()), 1))
    rng = np.random.default_rng(0)
    for tested, others in compared.values():
        if len(others) < _FAR or not len(tested):
            continue
        if share < 1:
            tested = np.sort(rng.permutation(tested)[:max(1, round(share * len(tested)))])
        distances, nearest = _nearest(features, tested, others, groups)
        looked_at += len(tested)
        found += [(float(chance), paths[row], paths[other]) for row, other, chance in zip(
            tested, nearest, _chances(distances), strict=True) if chance < RARE]
    return NearNeighbours(tuple((path, other) for _, path, other in sorted(found)), looked_at)


def _nearest(features: Rows, tested: Labels, others: Labels, groups: Labels) -> tuple[Floats, Labels]:
    """Return the _FAR least distances of each of T rows to other rows, (T, _FAR), ascending, and the nearest row (T,).

    The distance to a row of the same group is infinite. As many rows are compared at once as _CELLS allows.
    """
    ours = _unit(features[tested])
    of_all: Floats = np.full((len(tested), _FAR), np.inf)
    nearest = np.full(len(tested), others[0])
    at_once = max(_FAR, _CELLS // max(min(len(tested), _CELLS // _FAR), features.shape[1]))
    for start in range(0, len(others), at_once):
        rows = others[start:start + at_once]
        theirs = _unit(features[rows])
        block = max(1, _CELLS // len(rows))
        for first in range(0, len(tested), block):
            here = slice(first, first + block)
            distances = np.sqrt(np.maximum(2 - 2 * ours[here] @ theirs.T, 1e-12)).astype(float)
            distances[groups[tested[here]][:, None] == groups[rows][None, :]] = np.inf
            closest = distances.argmin(axis=1)
            least = distances[np.arange(len(distances)), closest]
            nearest[here] = np.where(least < of_all[here, 0], rows[closest], nearest[here])
            kept = np.partition(distances, _FAR - 1, axis=1)[:, :_FAR] if len(rows) > _FAR else distances
            of_all[here] = np.sort(np.concatenate([of_all[here], kept], axis=1), axis=1)[:, :_FAR]
    return of_all, nearest


def _unit(vectors: Array) -> Array:
    """Return rows (N, K) at length 1."""
    unit: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit


def _chances(distances: Floats) -> Floats:
    """Return how probable a nearest photo as near as that is among independent photos, (T,); 1 where nothing tells.

    distances: of each of T photos to the nearest others of its class, (T, _FAR or more), ascending; infinite where
        fewer count.
    """
    chances, known = np.ones(len(distances)), np.isfinite(distances[:, _FAR - 1])
    near = distances[known]
    spreads = np.log(near[:, _FAR - 1, None] / near[:, _NEAR - 1:_FAR - 1]).sum(axis=1)
    if not (spreads > 0).any():
        return chances
    expected = sum(1 / rank for first in range(_NEAR, _FAR) for rank in range(first, _FAR))
    dimension = np.median(expected / spreads[spreads > 0])
    chances[known] = 1 - (1 - (near[:, 0] / near[:, _NEAR - 1]) ** dimension) ** (_NEAR - 1)
    return chances
