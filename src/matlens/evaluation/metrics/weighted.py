"""Scores as functions of the photos' weights: what the bootstrap and the jackknife compute, thousands at a time.

A photo that was drawn twice has the weight 2, one that was left out has 0; all weights 1 give the score itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from matlens.types import Floats

TOP = (3, 5)
"""A photo counts as right among the first so many answers."""
SMALLEST = float(np.finfo(np.float32).eps)
"""Probabilities below count as this in logarithms: they are saved in float32. scikit-learn's log_loss does the same."""


def are_probabilities(values: npt.ArrayLike) -> bool:
    """Whether rows (N, C) are probabilities: none negative, each row's sum within 1e-3 of 1."""
    rows = np.asarray(values, dtype=np.float64)
    return bool(rows.min(initial=0) >= 0 and np.abs(rows.sum(axis=1) - 1).max(initial=0) <= 1e-3)


def rank_of_truth(probabilities: npt.ArrayLike, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(N,) how many classes stand before the true one; of equals the one with the smaller number comes first."""
    scores = np.asarray(probabilities, dtype=np.float64)
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    return np.asarray(((scores > own) | ((scores == own) & earlier)).sum(axis=1), dtype=np.int64)


def photo_losses(probabilities: npt.ArrayLike, labels: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Each photo's log loss (nats) and Brier score, both (N,).

    The Brier score is the sum of squares over all classes, in [0, 2] (Brier 1950).
    """
    rows = np.asarray(probabilities, dtype=np.float64)
    own = np.take_along_axis(rows, labels[:, None], axis=1)[:, 0]
    return -np.log(np.clip(own, SMALLEST, 1 - SMALLEST)), (rows**2).sum(axis=1) - 2 * own + 1


@dataclass(frozen=True)
class _Ranking:
    """One class against the rest. Photos of the class, the others by rising score, and how many of these lie below
    each photo of the class (`below`), or below and level with it (`level`)."""

    photos: npt.NDArray[np.int64]
    others: npt.NDArray[np.int64]
    below: npt.NDArray[np.int64]
    level: npt.NDArray[np.int64]

    @classmethod
    def of(cls, scores: Floats, is_class: npt.NDArray[np.bool_]) -> _Ranking:
        photos, others = np.flatnonzero(is_class), np.flatnonzero(~is_class)
        others = others[np.argsort(scores[others], kind="stable")]
        return cls(photos, others, np.searchsorted(scores[others], scores[photos], "left"),
                   np.searchsorted(scores[others], scores[photos], "right"))

    def auc(self, weights: Floats) -> Floats:
        """The weighted share of pairs (photo of the class, other photo) in the right order, ties one half: (B,)."""
        own = weights[self.photos]
        others = np.zeros((len(self.others) + 1, weights.shape[1]))
        np.cumsum(weights[self.others], axis=0, out=others[1:])
        won = (own * (others[self.below] + others[self.level])).sum(axis=0) / 2
        return ratio(won, own.sum(axis=0) * others[-1])


def ratio(above: Floats, below: Floats) -> Floats:
    """Quotients; NaN where there is nothing to divide by."""
    found: Floats = np.full(np.broadcast(above, below).shape, np.nan)
    np.divide(above, below, out=found, where=below != 0)
    return found


class WeightedScores:
    """The scores of N predicted photos under given weights.

    A class that weights leave without a photo is left out of macro averages, unless it never had one: then it counts
    as the point estimate does (0 in precision, recall and F1; left out of mean class accuracy and AUC).
    """

    def __init__(self, probabilities: npt.ArrayLike, labels: npt.NDArray[np.int64]) -> None:
        scores = np.asarray(probabilities, dtype=np.float64)
        self.n_photos, self.n_classes = scores.shape
        numbers = np.arange(self.n_classes)
        truth, answer = labels[:, None] == numbers, scores.argmax(axis=1)[:, None] == numbers
        self._truth, self._answer, self._hit = (each.T.astype(np.float64) for each in (truth, answer, truth & answer))
        self._never = ~truth.any(axis=0)[:, None]
        self._rankings = [_Ranking.of(scores[:, number], truth[:, number]) for number in numbers]
        rank = rank_of_truth(scores, labels)
        self._means = {"accuracy": (rank == 0).astype(np.float64)}
        self._means |= {f"top_{k}": (rank < k).astype(np.float64) for k in TOP if k < self.n_classes}
        if are_probabilities(scores):
            self._means["log_loss"], self._means["brier"] = photo_losses(scores, labels)

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Weights (N, B) to each score, (B,), and `f1`, (C, B). NaN where weights leave a score undefined."""
        total = weights.sum(axis=0)
        found = {name: ratio(values @ weights, total) for name, values in self._means.items()}
        support, answered, hits = (each @ weights for each in (self._truth, self._answer, self._hit))
        present = support > 0
        counted = present | self._never
        recall, precision = (np.nan_to_num(ratio(hits, each)) for each in (support, answered))
        f1 = np.nan_to_num(ratio(2 * hits, support + answered))
        for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
            found[f"macro_{name}"] = ratio((values * counted).sum(axis=0), counted.sum(axis=0).astype(np.float64))
        found["mean_class_accuracy"] = ratio((recall * present).sum(axis=0), present.sum(axis=0).astype(np.float64))
        chance = ratio((support * answered).sum(axis=0), total**2)
        found["cohen_kappa"] = ratio(ratio(hits.sum(axis=0), total) - chance, 1 - chance)
        aucs = np.array([ranking.auc(weights) for ranking in self._rankings])
        defined = ~np.isnan(aucs)
        found["roc_auc_macro"] = ratio(np.nan_to_num(aucs).sum(axis=0), defined.sum(axis=0).astype(np.float64))
        return found | {"f1": np.where(counted, f1, np.nan)}
