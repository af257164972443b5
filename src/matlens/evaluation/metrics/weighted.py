"""Predicted photos under weights: what metrics are computed from, thousands of weightings at a time.

The bootstrap and the jackknife are weightings. A photo that was drawn twice has the weight 2, one that was left out has
0; all weights 1 give the score itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.evaluation.labels_and_scores import truth_and_columns
from matlens.types import Floats, Labels

SMALLEST = float(np.finfo(np.float32).eps)
"""Probabilities below count as this in logarithms: they are saved in float32. scikit-learn's log_loss does the same."""


def are_probabilities(values: npt.ArrayLike) -> bool:
    """Tell whether rows (N, C) are probabilities: none is negative, and each row's sum is within 1e-3 of 1."""
    rows = np.asarray(values, dtype=np.float64)
    return bool(rows.min(initial=0) >= 0 and np.abs(rows.sum(axis=1) - 1).max(initial=0) <= 1e-3)


def rank_of_truth(probabilities: npt.ArrayLike, labels: Labels) -> npt.NDArray[np.int64]:
    """Count the classes that stand before the true one: (N,). Of equals the one with the smaller number comes first."""
    scores = np.asarray(probabilities, dtype=np.float64)
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    return np.asarray(((scores > own) | ((scores == own) & earlier)).sum(axis=1), dtype=np.int64)


def photo_losses(probabilities: npt.ArrayLike, labels: Labels) -> tuple[Floats, Floats]:
    """Return each photo's log loss (nats) and Brier score, both (N,).

    The Brier score is the sum of squares over all classes, in [0, 2] (Brier 1950).
    """
    rows = np.asarray(probabilities, dtype=np.float64)
    own = np.take_along_axis(rows, labels[:, None], axis=1)[:, 0]
    return -np.log(np.clip(own, SMALLEST, 1 - SMALLEST)), (rows**2).sum(axis=1) - 2 * own + 1


def ratio(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> Floats:
    """Divide; NaN where there is nothing to divide by."""
    quotients: Floats = np.full(np.broadcast(above, below).shape, np.nan)
    np.divide(above, below, out=quotients, where=below != 0)
    return quotients


@dataclass(frozen=True)
class OneAgainstRest:
    """The order of N photos by the probability of one class.

    photos: those of the class. place: (N,) where each photo lies among the M different probabilities of these, sorted:
    2 k below the k-th of them and above the one before, 2 k + 1 level with it.
    """

    photos: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]

    @classmethod
    def of(cls, scores: Floats, is_class: npt.NDArray[np.bool_]) -> OneAgainstRest:
        """Sort photos by their scores (N,)."""
        levels = np.unique(scores[is_class])
        return cls(np.flatnonzero(is_class), np.asarray(
            np.searchsorted(levels, scores, "left") + np.searchsorted(levels, scores, "right"), np.int64))

    def auc(self, weights: Floats) -> Floats:
        """Return the weighted share of pairs (photo of the class, other photo) in right order, ties one half: (B,).

        Weights are summed up by place, and places then compared. Sums of whole numbers, as of draws, are exact.

        weights: (B, N), contiguous.
        """
        places, own_place = int(self.place.max(initial=0)) // 2 * 2 + 3, self.place[self.photos]
        won, of_class, of_others = (np.zeros(len(weights)) for _ in range(3))
        for draw, of_photos in enumerate(weights):
            own = np.bincount(own_place, of_photos[self.photos], places)
            others = np.cumsum(np.bincount(self.place, of_photos, places) - own)
            won[draw] = own[1::2] @ (others[:-1:2] + others[1::2]) / 2
            of_class[draw], of_others[draw] = own.sum(), others[-1]
        return ratio(won, of_class * of_others)


class PredictedPhotos:
    """N predicted photos of C classes, with what all weightings of them share."""

    def __init__(self, probabilities: npt.ArrayLike, labels: Labels) -> None:
        """probabilities: (N, C); a model of others may give other numbers. labels: class numbers (N,).

        Raises LabelsError for what `labels_and_scores` refuses.
        """
        self.labels, self.probabilities = truth_and_columns(labels, probabilities)
        self.n_photos, self.n_classes = self.probabilities.shape
        numbers = np.arange(self.n_classes)
        truth, answer = labels[:, None] == numbers, self.probabilities.argmax(axis=1)[:, None] == numbers
        self.truth, self.answer, self.hit = (part.T.astype(np.float64) for part in (truth, answer, truth & answer))
        self.never = ~truth.any(axis=0)[:, None]
        """(C, 1) whether a class has no photo at all."""

    @cached_property
    def rank(self) -> npt.NDArray[np.int64]:
        """(N,) how many classes stand before the true one."""
        return rank_of_truth(self.probabilities, self.labels)

    @cached_property
    def losses(self) -> tuple[Floats, Floats] | None:
        """Each photo's log loss and Brier score; None where the answers are no probabilities."""
        return photo_losses(self.probabilities, self.labels) if are_probabilities(self.probabilities) else None

    @cached_property
    def orders(self) -> list[OneAgainstRest]:
        """The order of the photos by the probability of each class."""
        return [OneAgainstRest.of(self.probabilities[:, number], self.labels == number)
                for number in range(self.n_classes)]


class WeightedPhotos:
    """Photos under B weightings: what metrics declare themselves by.

    A class that weights leave without a photo is not `counted` in macro averages, unless it never had one: then it
    counts as the point estimate does (0 in precision, recall and F1; left out of mean class accuracy and AUC).
    """

    def __init__(self, photos: PredictedPhotos, weights: Floats) -> None:
        """weights: (N, B)."""
        self.photos, self.weights = photos, weights
        self.total: Floats = weights.sum(axis=0)
        self.support, self.answered, self.hits = (part @ weights for part in (photos.truth, photos.answer, photos.hit))
        """(C, B) weights of the photos of each class, of its answers, and of its right answers."""

    def mean(self, values: npt.NDArray[Any]) -> Floats:
        """Return the weighted mean of a value that each photo has (N,): (B,)."""
        return ratio(values.astype(np.float64) @ self.weights, self.total)

    @cached_property
    def present(self) -> npt.NDArray[np.bool_]:
        """(C, B) whether a class has a photo under the weights."""
        return np.asarray(self.support > 0)

    @cached_property
    def counted(self) -> npt.NDArray[np.bool_]:
        """(C, B) whether a class counts in macro averages of precision, recall and F1."""
        return np.asarray(self.present | self.photos.never)

    @cached_property
    def recall(self) -> Floats:
        """(C, B); 0 where there is no photo."""
        return np.nan_to_num(ratio(self.hits, self.support))

    @cached_property
    def precision(self) -> Floats:
        """(C, B); 0 where there is no answer."""
        return np.nan_to_num(ratio(self.hits, self.answered))

    @cached_property
    def f1(self) -> Floats:
        """(C, B); 0 where there is neither photo nor answer."""
        return np.nan_to_num(ratio(2 * self.hits, self.support + self.answered))

    @cached_property
    def auc(self) -> Floats:
        """(C, B) area under each class's ROC curve; NaN where it has no photo, or all."""
        of_draws = np.ascontiguousarray(self.weights.T)
        return np.array([order.auc(of_draws) for order in self.photos.orders])

    @staticmethod
    def mean_over(values: Floats, classes: npt.NDArray[np.bool_]) -> Floats:
        """Return the mean of values (C, B) over the classes that are marked (C, B): (B,)."""
        return ratio((values * classes).sum(axis=0), classes.sum(axis=0).astype(np.float64))
