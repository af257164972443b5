"""Ask of photos' descriptions whether photos of one proposed group are nearer to each other than to others.

Names alone prove nothing: a photographer may number 2,000 different objects. If a grouping means nothing, the nearest
photo of the same class is in the same group as often as chance has it; if it names objects or scenes, far more often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from matlens.types import Array, Labels

_SHUFFLES = 200
SEED = 0


@dataclass(frozen=True)
class Evidence:
    """How a grouping fits how photos look.

    together: the share of grouped photos whose nearest photo of their class is in their group. chance: the share that
    groups of these sizes have where they mean nothing; most: the largest of 200 shuffles within classes.
    """

    together: float
    chance: float
    most: float

    @property
    def excess(self) -> float:
        """What the share exceeds chance by, of what it could: 0 where groups mean nothing, 1 where they say it all."""
        return (self.together - self.chance) / (1 - self.chance) if self.chance < 1 else 0.0


def evidence_for(groups: Sequence[Sequence[str]], descriptions: Mapping[str, Array], classes: Mapping[str, str],
                 seed: int = SEED) -> Evidence:
    """Compare a grouping with how the photos look.

    Args:
        groups: of paths.
        descriptions: (K,) of each photo by its path; photos without one are passed over.
        classes: the class of each photo by its path.
    """
    paths = [path for path in classes if path in descriptions]
    if not paths:
        return Evidence(0.0, 0.0, 0.0)
    number = {path: index for index, group in enumerate(groups) for path in group}
    labels = np.array([number.get(path, len(groups) + position) for position, path in enumerate(paths)])
    vectors = standardised(np.stack([descriptions[path] for path in paths]))
    rng = np.random.default_rng(seed)
    hits, grouped, chance, shuffled = 0, 0, 0.0, np.zeros(_SHUFFLES)
    of_class = np.array([classes[path] for path in paths])
    for name in sorted(set(of_class)):
        rows = np.flatnonzero(of_class == name)
        sizes = _sizes(labels[rows])
        if len(rows) < 2:
            continue
        nearest = nearest_rows(vectors[rows])
        hits += int((labels[rows] == labels[rows][nearest]).sum())
        grouped += int((sizes > 1).sum())
        chance += float((sizes - 1).sum()) / (len(rows) - 1)
        for turn in range(_SHUFFLES):
            mixed = rng.permutation(labels[rows])
            shuffled[turn] += (mixed == mixed[nearest]).sum()
    if not grouped:
        return Evidence(0.0, 0.0, 0.0)
    return Evidence(hits / grouped, chance / grouped, float(shuffled.max()) / grouped)


def standardised(vectors: Array) -> Array:
    """Bring each column to mean 0 and standard deviation 1; a constant column to 0."""
    centred = vectors - vectors.mean(axis=0)
    deviation = centred.std(axis=0)
    return np.asarray(centred / np.where(deviation > 1e-6, deviation, np.inf), dtype=np.float32)


def nearest_rows(vectors: Array, at_once: int = 1024) -> Labels:
    """Return the row (N,) of the nearest other vector of each of (N, K), N at least 2."""
    squares = (vectors**2).sum(axis=1)
    nearest = np.empty(len(vectors), np.int64)
    for start in range(0, len(vectors), at_once):
        block = vectors[start:start + at_once]
        distances = squares - 2 * block @ vectors.T
        distances[np.arange(len(block)), np.arange(start, start + len(block))] = np.inf
        nearest[start:start + at_once] = distances.argmin(axis=1)
    return nearest


def _sizes(labels: Labels) -> Labels:
    """Return the size of the group of each photo, (N,)."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return counts[inverse]
