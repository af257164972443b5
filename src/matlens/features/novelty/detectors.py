"""Say how unlike the training photos a photo is, by its features, averaged over places and at length 1.

A detector is fitted on training photos alone. Its scores have no unit of their own: validation photos give them a
meaning (`conformal`). To add one, register a class here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from matlens.models.heads.knn import unit_rows
from matlens.types import Array, Floats, Labels

NEIGHBOURS = 5
"""Which neighbour's distance counts: photos of rare kinds have a few alike, and a single odd training photo is none."""

WIDEST = 4096
"""Features that have a covariance: that of more takes a gigabyte of sums."""


class Detector(ABC):
    """A score of strangeness, fitted on training photos.

    name: as files have it. title, source: for people. arrays: NumPy's kind and dimensions by name, as files have them.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    arrays: ClassVar[Mapping[str, tuple[str, int]]]

    @classmethod
    @abstractmethod
    def fit(cls, features: Array, labels: Labels) -> Self:
        """Fit on training photos: features (N, K) float32, labels (N,)."""

    @classmethod
    @abstractmethod
    def fits(cls, features: Array, labels: Labels) -> bool:
        """Return whether there are photos enough, and features not too many."""

    @abstractmethod
    def strangeness(self, features: Array) -> Floats:
        """Score photos (B,) by features (B, K) float32: the higher, the less like the training photos."""

    @classmethod
    def without_each(cls, left_out: Labels, features: Array, labels: Labels, looked_at: Array,
                     ) -> Iterator[Floats | None]:
        """Yield, for each class that is left out, the scores of photos by a detector that never saw it.

        Args:
            left_out: class numbers. features, labels: of the training photos, as in `fit`.
            looked_at: (V, K) float32, features of the photos that are scored.

        Yields:
            (V,), or None where the photos of the other classes do not suffice.
        """
        for number in left_out:
            others = labels != number
            yield (cls.fit(features[others], labels[others]).strangeness(looked_at)
                   if cls.fits(features[others], labels[others]) else None)

    @property
    @abstractmethod
    def width(self) -> int:
        """K, the features that it takes."""

    def to_arrays(self) -> dict[str, Any]:
        """Return its arrays by name."""
        return {name: np.asarray(getattr(self, name)) for name in self.arrays}

    @classmethod
    @abstractmethod
    def of(cls, arrays: Mapping[str, Any]) -> Self:
        """Return the detector of the arrays of a file. Raises KeyError or ValueError where they do not fit together."""


@dataclass(frozen=True, eq=False)
class NearestNeighbours(Detector):
    """The distance to the NEIGHBOURS-th nearest training photo. exemplars: (N, K) float16, at length 1."""

    exemplars: Any
    name: ClassVar[str] = "knn"
    title: ClassVar[str] = f"distance to the {NEIGHBOURS}th nearest training photo"
    source: ClassVar[str] = "Sun, Ming, Zhu and Li 2022"
    arrays: ClassVar[Mapping[str, tuple[str, int]]] = {"exemplars": ("f", 2)}

    @classmethod
    def fits(cls, features: Array, labels: Labels) -> bool:
        """See `Detector`."""
        return len(features) >= NEIGHBOURS

    @classmethod
    def fit(cls, features: Array, labels: Labels) -> Self:
        """See `Detector`."""
        return cls(unit_rows(features)[0].astype(np.float16))

    @property
    def width(self) -> int:
        """See `Detector`."""
        return int(self.exemplars.shape[1])

    @cached_property
    def _columns(self) -> Array:
        """Return the exemplars as (K, N) float32, which takes as long as ten photos' distances."""
        return np.ascontiguousarray(self.exemplars.T, dtype=np.float32)

    def strangeness(self, features: Array) -> Floats:
        """See `Detector`."""
        alike = unit_rows(features)[0] @ self._columns
        nearest = -np.partition(-alike, NEIGHBOURS - 1, axis=1)[:, NEIGHBOURS - 1]
        return np.sqrt(np.maximum(2 - 2 * nearest.astype(np.float64), 0))

    @classmethod
    def of(cls, arrays: Mapping[str, Any]) -> Self:
        """See `Detector`."""
        exemplars = arrays["exemplars"]
        if len(exemplars) < NEIGHBOURS or not np.isfinite(exemplars).all():
            raise ValueError("its photos do not suffice")
        return cls(exemplars)


@dataclass(frozen=True, eq=False)
class NearestClass(Detector):
    """The Mahalanobis distance to the nearest class mean, by the covariance within classes.

    means: (C, K) float32. whitening: (K, K) float32, which makes that covariance the identity.
    """

    means: Any
    whitening: Any
    name: ClassVar[str] = "mahalanobis"
    title: ClassVar[str] = "Mahalanobis distance to the nearest class mean"
    source: ClassVar[str] = "Lee, Lee, Lee and Shin 2018"
    arrays: ClassVar[Mapping[str, tuple[str, int]]] = {"means": ("f", 2), "whitening": ("f", 2)}

    @classmethod
    def fits(cls, features: Array, labels: Labels) -> bool:
        """See `Detector`."""
        return features.shape[1] <= WIDEST and len(features) > 2 * len(np.unique(labels))

    @classmethod
    def fit(cls, features: Array, labels: Labels) -> Self:
        """Fit class means, and one covariance within classes."""
        _, means, off = _centred(features, labels)
        whitening = np.linalg.inv(np.linalg.cholesky(_shrunk(off.T @ off, len(off)))).T
        return cls((means @ whitening).astype(np.float32), whitening.astype(np.float32))

    @classmethod
    def without_each(cls, left_out: Labels, features: Array, labels: Labels, looked_at: Array,
                     ) -> Iterator[Floats | None]:
        """See `Detector`. What a class adds to the covariance is taken off, and nothing is inverted."""
        numbers, means, off = _centred(features, labels)
        scatter, photos = off.T @ off, unit_rows(looked_at)[0].astype(np.float64)
        for number in left_out:
            own = labels == number
            if not cls.fits(features[~own], labels[~own]):
                yield None
                continue
            covariance = _shrunk(scatter - off[own].T @ off[own], int((~own).sum()))
            others = means[numbers != number]
            solved = np.linalg.solve(covariance, np.concatenate([photos, others]).T)
            squares = ((photos * solved[:, :len(photos)].T).sum(axis=1)[:, None] - 2 * photos @ solved[:, len(photos):]
                       + (others * solved[:, len(photos):].T).sum(axis=1))
            yield np.sqrt(np.maximum(squares.min(axis=1), 0))

    @property
    def width(self) -> int:
        """See `Detector`."""
        return int(self.whitening.shape[0])

    def strangeness(self, features: Array) -> Floats:
        """See `Detector`."""
        white = unit_rows(features)[0] @ self.whitening
        squares = (white**2).sum(axis=1)[:, None] - 2 * white @ self.means.T + (self.means**2).sum(axis=1)
        return np.asarray(np.sqrt(np.maximum(squares.min(axis=1), 0)), dtype=np.float64)

    @classmethod
    def of(cls, arrays: Mapping[str, Any]) -> Self:
        """See `Detector`."""
        means, whitening = arrays["means"], arrays["whitening"]
        if not len(means) or whitening.shape != (means.shape[1],) * 2 or not (
                np.isfinite(means).all() and np.isfinite(whitening).all()):
            raise ValueError("its means do not fit together")
        return cls(means, whitening)


def _centred(features: Array, labels: Labels) -> tuple[Labels, Floats, Floats]:
    """Return class numbers (C,), class means (C, K), and the photos off their class means (N, K)."""
    unit = unit_rows(features)[0].astype(np.float64)
    numbers, of_class = np.unique(labels, return_inverse=True)
    means = np.stack([unit[of_class == place].mean(axis=0) for place in range(len(numbers))])
    return numbers, means, unit - means[of_class]


def _shrunk(scatter: Floats, n: int) -> Floats:
    """Return the covariance (K, K) of the sum of squares of n photos, shrunk towards a sphere by OAS.

    Source: Chen, Wiesel, Eldar and Hero 2010, in the form of scikit-learn's `oas`, which takes ten times as long.
    """
    covariance = scatter / n
    square, mean = float((covariance**2).mean()), float(np.trace(covariance) / len(covariance))
    excess = (n + 1) * (square - mean**2 / len(covariance))
    shrinkage = min(1.0, (square + mean**2) / excess) if excess > 0 else 1.0
    covariance *= 1 - shrinkage
    covariance[np.diag_indices(len(covariance))] += shrinkage * mean + 1e-12
    return covariance


DETECTORS: dict[str, type[Detector]] = {detector.name: detector for detector in (NearestNeighbours, NearestClass)}
"""All detectors by name, the plainest first."""
