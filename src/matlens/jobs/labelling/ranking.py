"""Choose the unlabelled photos that would teach a model most: those it is unsure of, and unlike what it has seen.

A photo is unsure by the margin between its two likeliest classes (Scheffer, Decomain and Wrobel 2001), and new by its
distance to the nearest photo that is labelled or chosen already, as k-center greedy measures it (Sener and Savarese
2018). Photos are chosen one by one by the product of both, so that a copy of a chosen photo, or of a training photo,
counts for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matlens.models.heads.knn import unit_rows
from matlens.types import Array, Floats, Labels

_AT_ONCE = 1024
"""Photos whose distances to all training photos are in memory at a time."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Chosen photos, the one that teaches most first.

    positions: (n,) among the photos that were ranked. score: (n,) (1 - margin) x distance when each was chosen.
    distance: (n,) 1 less the cosine to the nearest photo that was labelled, or chosen before.
    """

    positions: Labels
    score: Floats
    distance: Floats


def margins(probabilities: Array | Floats) -> Floats:
    """Return how far the likeliest class of each photo is ahead of the next one, (N,), of probabilities (N, C)."""
    if probabilities.shape[1] < 2:
        return np.ones(len(probabilities))
    top = np.partition(probabilities.astype(np.float64), -2, axis=1)[:, -2:]
    return np.asarray(top[:, 1] - top[:, 0])


def rank_photos(probabilities: Array | Floats, features: Array, labelled: Array | None, n: int) -> Ranking:
    """Choose at most n of N photos.

    Args:
        probabilities: (N, C), calibrated.
        features: (N, K), of any length. labelled: (M, K), of the photos that have labels; None where they are unknown.
    """
    vectors = unit_rows(features)[0]
    distance = np.ones(len(vectors))
    if labelled is not None and len(labelled):
        seeds = unit_rows(labelled)[0].T
        for start in range(0, len(vectors), _AT_ONCE):
            near = (vectors[start:start + _AT_ONCE] @ seeds).max(axis=1)
            distance[start:start + _AT_ONCE] = np.maximum(1 - near.astype(np.float64), 0)
    unsure = 1 - margins(probabilities)
    positions, score, distances = [], [], []
    left = np.ones(len(vectors), bool)
    for _ in range(min(n, len(vectors))):
        chosen = int(np.where(left, unsure * distance, -1).argmax())
        positions.append(chosen)
        score.append(float(unsure[chosen] * distance[chosen]))
        distances.append(float(distance[chosen]))
        left[chosen] = False
        np.minimum(distance, np.maximum(1 - (vectors @ vectors[chosen]).astype(np.float64), 0), out=distance)
    return Ranking(np.array(positions, np.int64), np.array(score), np.array(distances))
