"""What choosing costs: the best of several models on the test part looks better there than it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matlens.evaluation.inference.groups import Groups
from matlens.evaluation.intervals import SEED
from matlens.types import Floats

_DRAWS = 4000


@dataclass(frozen=True)
class Optimism:
    """By how much the best of `models` is expected to be too high on the photos that it was chosen on (a share)."""

    models: int
    expected: float


def winners_optimism(groups: Groups, right: Floats, draws: int = _DRAWS, seed: int = SEED) -> Optimism | None:
    """Estimate it by drawing groups of photos for all models at once.

    In each draw the model that is best there is chosen, and compared with what it is known to be. The models'
    accuracies differ by chance as well as by merit: their distances are shrunk by the share of chance in them
    (estimated from the same draws; James and Stein 1961), else models that are alike would count as different and cost
    too little.

    Args:
        right: (N, K) 1 where a model is right, else 0.

    Returns:
        None of fewer than FEWEST groups: they do not tell how far accuracies scatter.
    """
    models = right.shape[1]
    if groups.too_few:
        return None
    if models < 2 or groups.count < 2:
        return Optimism(models, 0.0)
    drawn = _drawn_accuracies(groups, right, draws, np.random.default_rng(seed))
    accuracy = right.mean(axis=0)
    noise = drawn - accuracy
    apart = float(((accuracy - accuracy.mean()) ** 2).sum()) / (models - 1)
    by_chance = float(((noise - noise.mean(axis=1, keepdims=True)) ** 2).sum(axis=1).mean()) / (models - 1)
    kept = max(0.0, 1 - by_chance / apart) if apart > 0 else 0.0
    true = accuracy.mean() + kept * (accuracy - accuracy.mean())
    seen = true + noise
    chosen = seen.argmax(axis=1)
    return Optimism(models, max(0.0, float((seen[np.arange(draws), chosen] - true[chosen]).mean())))


def _drawn_accuracies(groups: Groups, right: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """Draw groups with replacement; return the accuracies of each draw, (draws, K), alike models by the same draws.

    The sums over many groups are normal numbers with the groups' covariance, which costs nothing; of few they are
    drawn.
    """
    sums, count = groups.sums(right), groups.count
    if groups.are_many:
        off = sums - groups.sizes[:, None] * right.mean(axis=0)
        values, vectors = np.linalg.eigh(off.T @ off * count / (count - 1))
        root = vectors * np.sqrt(np.maximum(values, 0))
        return np.asarray(right.mean(axis=0) + rng.standard_normal((draws, len(root))) @ root.T / groups.n_photos)
    times = rng.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)
    return np.asarray((times @ sums) / (times @ groups.sizes)[:, None])
