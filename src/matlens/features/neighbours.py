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
from matlens.types import Array, Floats

RARE = 0.01
"""The probability of an independent photo as near as that, below which a photo counts as far nearer."""

LEAST_SHARE = 0.1
"""The least share of test photos with such a neighbour for a warning; it is 0.05 on TrashNet (MobileNetV2)."""

_LEAST_COUNT = 3
_NEAR, _FAR = 6, 16
"""The ranks of the distances that tell the dimension; a photo with fewer others in its class is passed over."""

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
        return (f"{len(self.pairs):,} of {self.looked_at:,} test photos lie far nearer to a photo of the training "
                f"or validation set than photos of a class do (such as {examples}). If they show the same objects or "
                "scenes, the results are too good for photos of others: say what belongs together with --groups.")


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
        if len(others) < _FAR or not len(tested):
            continue
        distances = np.sqrt(np.maximum(2 - 2 * vectors[tested] @ vectors[others].T, 1e-12)).astype(float)
        distances[groups[tested][:, None] == groups[others][None, :]] = np.inf
        looked_at += len(tested)
        for row, nearest, chance in zip(tested, distances, _chances(np.sort(distances, axis=1)), strict=True):
            if chance < RARE:
                found.append((float(chance), paths[row], paths[others[nearest.argmin()]]))
    return NearNeighbours(tuple((path, other) for _, path, other in sorted(found)), looked_at)


def _chances(distances: Floats) -> Floats:
    """Return how probable a nearest photo as near as that is among independent photos, (T,); 1 where nothing tells.

    distances: of each of T photos to the others of its class, (T, N), ascending; infinite to those that do not count.
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
