"""Which training photos a photo is most like: the names of those that a detector was fitted on, and their features.

Similarity is the cosine of features that are averaged over places, as detectors have them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from matlens.models.heads.knn import nearest_of, unit_rows
from matlens.system.untrusted import parse_json, stays_inside
from matlens.types import Array, Labels

ARRAYS = {"training_paths": ("u", 1), "training_labels": ("i", 1), "training_features": ("f", 2)}
"""The arrays of a file, as `read_arrays` wants them."""

_PATHS_LIMIT = 64 << 20
"""Bytes of the paths of 5,000 photos: 13 kB each."""


@dataclass(frozen=True, eq=False)
class TrainingPhotos:
    """Training photos: paths (N), relative to the dataset's folder, labels (N,), and features (N, K) float16, at
    length 1.
    """

    paths: tuple[str, ...]
    labels: Labels
    features: Any

    @classmethod
    def of(cls, paths: tuple[str, ...], labels: Labels, features: Array) -> Self:
        """Take photos with features (N, K) float32 of any length."""
        return cls(paths, labels, unit_rows(features)[0].astype(np.float16))

    @cached_property
    def _columns(self) -> Array:
        return np.ascontiguousarray(self.features.T, dtype=np.float32)

    def nearest(self, features: Array, k: int) -> tuple[Labels, Array]:
        """Find the photos that are most like others, by features (B, K) float32.

        Returns where they stand, (B, k), the most alike first, and their cosine similarities, (B, k); fewer than k
        where there are not so many.
        """
        similarities = np.clip(unit_rows(features)[0] @ self._columns, -1, 1)
        return nearest_of(similarities, min(k, len(self.paths)))

    def to_arrays(self, *, with_features: bool) -> dict[str, Any]:
        """Return its arrays by name. with_features: False where the detector's arrays are the same features."""
        paths = np.frombuffer(json.dumps(self.paths).encode(), dtype=np.uint8)
        features = {"training_features": self.features} if with_features else {}
        return {"training_paths": paths, "training_labels": self.labels, **features}

    @classmethod
    def read(cls, arrays: Mapping[str, Any], classes: int, width: int) -> Self | None:
        """Return the photos of the arrays of a file; None where it names none, as those of earlier versions.

        width: K. Raises KeyError or ValueError where they do not fit together.
        """
        if "training_paths" not in arrays:
            return None
        content = arrays["training_paths"].tobytes()
        if len(content) > _PATHS_LIMIT:
            raise ValueError("its training photos have too long names")
        paths, labels = parse_json(content), arrays["training_labels"]
        features = arrays["training_features"] if "training_features" in arrays else arrays["exemplars"]
        if not isinstance(paths, list) or not all(isinstance(path, str) and stays_inside(path) for path in paths):
            raise ValueError("its training photos lie outside of their folder")
        if not paths or features.shape != (len(paths), width) or len(labels) != len(paths) or not (
                0 <= labels.min() <= labels.max() < classes and np.isfinite(features).all()):
            raise ValueError("its training photos do not fit together")
        return cls(tuple(paths), labels.astype(np.int64), features)
