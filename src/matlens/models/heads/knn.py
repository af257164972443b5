"""A head that lets the most similar training photos vote.

Similarity is the cosine of pooled features, as the trunk gives them. The nearest k photos vote for their class with the
weight exp((s - s1) / 0.07), where s is a photo's similarity and s1 the nearest one's (Wu, Xiong, Yu, Lin 2018:
Unsupervised Feature Learning via Non-Parametric Instance Discrimination, section 3.4, with their temperature; the
nearest has the weight 1 here, which changes no share). The probability of a class is its share of the votes, with one
vote more that is divided equally among the classes, so that none is impossible (the m-estimate with m = 1; Cestnik
1990).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from matlens.models.head import AnyHead, Head, Pooling, Score, are_places_of, pooling_in, softmax
from matlens.types import Array, Labels

TEMPERATURE = 0.07

ARRAYS = {"pooling": ("U", 0), "exemplars": ("f", 2), "labels": ("i", 1), "k": ("i", 0), "bias": ("f", 1),
          "places": ("i", 0)}
"""The arrays of a file, see `head.ARRAYS`."""


@dataclass(frozen=True)
class KnnHead(AnyHead):
    """Pooling, then the votes of the nearest training photos.

    pooling, places: see `AnyHead`.
    exemplars: (N, K) float32, features of the training photos, each of length 1. labels: (N,) int64.
    k: how many vote. bias: (C,) float32, added to the class scores.
    """

    pooling: Pooling
    exemplars: Array
    labels: Labels
    k: int
    bias: Array
    places: int | None = None

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""
        return int(self.bias.shape[0])

    def forward(self, features: Array) -> list[Array]:
        """Return pooled features (B, K), and class scores (B, C): logarithms of votes. See `AnyHead`."""
        pooled = self._pool(features, self.exemplars.shape[1])
        nearest, similarities = nearest_of(self.similarities(pooled), self.k)
        votes = votes_of(similarities, self.labels[nearest], self.classes)
        return [pooled, np.asarray(np.log(votes) + self.bias, dtype=np.float32)]

    def similarities(self, pooled: Array) -> Array:
        """Return the cosine of each photo's features (B, K) and each exemplar: (B, N) float32."""
        return np.asarray(unit_rows(pooled)[0] @ self.exemplars.T)

    def shifted(self, by: Array) -> KnnHead:
        """Return a head whose class scores are higher by as much as `by` says, (C,) float32."""
        return replace(self, bias=self.bias + by)

    def channel_gradients(self, values: list[Array], classes: Labels, channels: int, score: Score = "logit") -> Array:
        """See `AnyHead`, and `_slope` for what the gradient of votes is."""
        sums = self._slope(values, classes, score)
        sums[:, self._patch_channels(channels):] = 0
        return sums

    def gradients(self, values: list[Array], classes: Labels, features: Array, score: Score = "logit") -> Array:
        """See `AnyHead`, and `_slope` for what the gradient of votes is."""
        return self._spread(self._slope(values, classes, score), features)

    def _slope(self, values: list[Array], classes: Labels, score: Score) -> Array:
        """Return the gradient of each photo's class score by pooled features, (B, K).

        It is that of the votes as the similarities to the same neighbours grow, with the nearest one's weight as it is:
        what makes the photo more like its neighbours of the class. A class without a neighbour has none.
        """
        pooled, logits = values[0], values[-1]
        unit, lengths = unit_rows(pooled)
        nearest, similarities = nearest_of(unit @ self.exemplars.T, self.k)
        weights = np.exp((similarities - similarities[:, :1]) / np.float32(TEMPERATURE))
        votes = votes_of(similarities, self.labels[nearest], self.classes)
        of_classes = np.zeros_like(logits)  # how the explained score grows with each class' own
        rows = np.arange(len(classes))
        of_classes[rows, classes] = 1
        if score == "probability":
            shares = softmax(logits)
            own = shares[rows, classes][:, None]
            of_classes = own * (of_classes - shares)
        weights *= np.take_along_axis(of_classes / votes, self.labels[nearest], axis=1) / np.float32(TEMPERATURE)
        towards = np.einsum("bk,bkf->bf", weights, self.exemplars[nearest])
        slope = (towards - (weights * similarities).sum(axis=1, keepdims=True) * unit) / lengths
        return np.asarray(slope, dtype=np.float32)

    def blank(self) -> Head:
        """Return a dense head of the same sizes that calls all classes equally probable."""
        return Head.blank(self.pooling, self.exemplars.shape[1], self.classes, self.places)

    def save(self, path: Path) -> None:
        """See `AnyHead`."""
        arrays = {name: np.array(getattr(self, name)) for name in ARRAYS if getattr(self, name) is not None}
        np.savez(path, allow_pickle=False, **arrays)

    @classmethod
    def of(cls, arrays: Mapping[str, Any]) -> KnnHead:
        """Return the head of the arrays of a file. Raises KeyError or ValueError where they do not fit together."""
        pooling, places = pooling_in(arrays)
        head = cls(pooling, arrays["exemplars"], arrays["labels"], int(arrays["k"]), arrays["bias"], places)
        head._refuse_misfit()
        return head

    def _refuse_misfit(self) -> None:
        if ({self.exemplars.dtype, self.bias.dtype} != {np.dtype(np.float32)}
                or len(self.exemplars) != len(self.labels)
                or not 1 <= self.k <= len(self.labels)
                or not 0 <= self.labels.min() <= self.labels.max() < len(self.bias)
                or not are_places_of(self.pooling, self.places, self.exemplars.shape[1])):
            raise ValueError("its arrays do not fit together")


def unit_rows(values: Array) -> tuple[Array, Array]:
    """Return rows (N, K) float32 at length 1, and their lengths (N, 1); a row of zeros stays one."""
    lengths = np.maximum(np.linalg.norm(values, axis=1, keepdims=True), np.float32(1e-12))
    return np.asarray(values / lengths, dtype=np.float32), np.asarray(lengths, dtype=np.float32)


def nearest_of(similarities: Array, k: int) -> tuple[Labels, Array]:
    """Return where the k largest of each row stand, (B, k), the largest first, and these similarities."""
    rows = np.argpartition(-similarities, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(similarities, rows, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return (np.asarray(np.take_along_axis(rows, order, axis=1), dtype=np.int64),
            np.take_along_axis(values, order, axis=1))


def votes_of(similarities: Array, labels: Labels, classes: int) -> Array:
    """Return the votes of neighbours (B, k), the nearest first, for each class, (B, C): 1 / C and those of its photos.

    labels: (B, k), their classes.
    """
    weights = np.exp((similarities - similarities[:, :1]) / np.float32(TEMPERATURE))
    votes = np.full((len(weights), classes), 1 / classes, dtype=np.float32)
    np.add.at(votes, (np.arange(len(weights))[:, None], labels), weights)
    return votes
