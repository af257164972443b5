"""Say how unlike the training photos a photo is, by its features, averaged over places and at length 1.

A detector is fitted on training photos alone. Its scores have no unit of their own: validation photos give them a
meaning (`conformal`). To add one, register a class here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
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
        """Fit class means, and one covariance, shrunk towards a sphere by OAS (Chen, Wiesel, Eldar, Hero 2010).

        The formula is that of scikit-learn's `oas`, which takes ten times as long.
        """
        unit = unit_rows(features)[0].astype(np.float64)
        numbers, of_class = np.unique(labels, return_inverse=True)
        means = np.stack([unit[of_class == number].mean(axis=0) for number in range(len(numbers))])
        off = unit - means[of_class]
        covariance = off.T @ off / len(off)
        square, mean = float((covariance**2).mean()), float(np.trace(covariance) / len(covariance))
        excess = (len(off) + 1) * (square - mean**2 / len(covariance))
        shrinkage = min(1.0, (square + mean**2) / excess) if excess > 0 else 1.0
        covariance *= 1 - shrinkage
        covariance[np.diag_indices(len(covariance))] += shrinkage * mean + 1e-12
        lower = np.linalg.cholesky(covariance)
        whitening = np.linalg.inv(lower).T
        return cls((means @ whitening).astype(np.float32), whitening.astype(np.float32))

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


DETECTORS: dict[str, type[Detector]] = {detector.name: detector for detector in (NearestNeighbours, NearestClass)}
"""All detectors by name, the plainest first."""
