"""Find test photos that lie far nearer to a training photo than photos of their class lie to each other.

Among independent photos the distance to the k-th nearest of n grows as k^(1/d), where d is the intrinsic dimension of
their features. The middle half of a photo's distances within its class gives d and the distance at which its nearest
photo is expected; the share of independent photos that lie at a part r of that distance or nearer is about r^d. A share
below 1 % is far nearer than chance has it: another shot of the same object or scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matlens.data.split.splits import Split
from matlens.types import Array, Floats

RARE = 0.01
"""The share of independent photos that lie as near as that, below which a photo counts as far nearer."""

LEAST_SHARE = 0.1
"""The least share of test photos with such a neighbour for a warning; it is 0.03 on TrashNet (MobileNetV2)."""

_LEAST_COUNT = 3
_LEAST_PHOTOS = 12
"""Photos of a class in train and val; fewer tell nothing of distances."""

_MOST_DIMENSIONS = 40.0
_EXAMPLES = 3


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
        return (f"{len(self.pairs):,} of {self.looked_at:,} test photos lie far nearer to a photo in train or val than "
                f"photos of a class do (such as {examples}). If they show the same objects or scenes, the results are "
                "too good for photos of others: say what belongs together with --groups.")


def near_neighbours(split: Split, features: Array) -> NearNeighbours:
    """Compare the test photos of a split with its other photos, by features (N, K) of `split.photos`, in their order.

    Photos that the split knows to belong together are not compared with each other: a divided copy is another finding.
    """
    vectors = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    groups = split.groups_of(split.photos)
    labels, is_test = split.labels(split.photos), np.array([photo.part == "test" for photo in split.photos])
    found: list[tuple[float, str, str]] = []
    looked_at, paths = 0, [photo.path for photo in split.photos]
    for number in range(len(split.class_names)):
        tested, others = (np.flatnonzero((labels == number) & chosen) for chosen in (is_test, ~is_test))
        if len(others) < _LEAST_PHOTOS:
            continue
        distances = np.sqrt(np.maximum(2 - 2 * vectors[tested] @ vectors[others].T, 1e-12)).astype(float)
        distances[groups[tested][:, None] == groups[others][None, :]] = np.inf
        looked_at += len(tested)
        for row, nearest in zip(tested, distances, strict=True):
            if np.isfinite(nearest).sum() >= _LEAST_PHOTOS and (share := _share_as_near(np.sort(nearest))) < RARE:
                found.append((share, paths[row], paths[others[nearest.argmin()]]))
    return NearNeighbours(tuple((path, other) for _, path, other in sorted(found)), looked_at)


def _share_as_near(distances: Floats) -> float:
    """Return about which share of independent photos is as near as the nearest of these ascending distances."""
    n = int(np.isfinite(distances).sum())
    ranks = np.arange(n // 4, 3 * n // 4) + 1
    slope, at_first = np.polyfit(np.log(ranks), np.log(distances[ranks - 1]), 1)
    dimensions = min(1 / slope, _MOST_DIMENSIONS) if slope > 0 else _MOST_DIMENSIONS
    return float(np.exp(dimensions * (np.log(distances[0]) - at_first)))

