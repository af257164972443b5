"""Batches of computed features or activations, in the same orders as `PhotoBatches` gives photos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from matlens.data.ahead import prepared_ahead
from matlens.data.batches import one_hot
from matlens.system.batching import batch_bounds
from matlens.types import Array, Batch, Labels


class Rows(Protocol):
    """Features (N, ...) by row: an array, or `Activations`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape (N, ...)."""

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> Array:
        """Copy rows."""


@dataclass(frozen=True)
class FeatureBatches:
    """Features of one part in batches, in the order that photos have for the same seed.

    views: (N, K) features or (N, h, w, K) activations of each view.
    labels: (N,) class numbers.
    by_turns: an epoch takes each photo once, in one of its views, and the next epoch takes the next view; without it an
        epoch takes all views of all photos, mixed.
    """

    views: tuple[Rows, ...]
    labels: Labels
    num_classes: int
    batch_size: int
    seed: int = 0
    shuffle: bool = False
    by_turns: bool = False

    def __len__(self) -> int:
        return len(batch_bounds(self._an_epoch, self.batch_size))

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    @property
    def _an_epoch(self) -> int:
        return len(self.labels) * (1 if self.by_turns else len(self.views))

    def epoch(self, number: int) -> Iterator[Batch]:
        """Give the batches of one epoch; activations, which come from the disk, are prepared ahead."""
        batches = self._batches(number)
        return prepared_ahead(batches) if len(self.views[0].shape) > 2 else batches

    def _batches(self, epoch: int) -> Iterator[Batch]:
        photos = len(self.labels)
        order = np.arange(self._an_epoch)
        if self.shuffle:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(order))
        view_of = order // photos
        if self.by_turns:
            first = np.random.default_rng([self.seed, 2]).integers(len(self.views), size=photos)
            view_of = (first + epoch)[order] % len(self.views)
        encoded = one_hot(self.labels, self.num_classes)
        for start, end in batch_bounds(len(order), self.batch_size):
            rows, of_view = order[start:end] % photos, view_of[start:end]
            features = np.empty((len(rows), *self.views[0].shape[1:]), dtype=np.float32)
            for view in np.unique(of_view):
                chosen = of_view == view
                features[chosen] = self.views[view][rows[chosen]]
            yield features, encoded[rows]

    def head(self, batches: int) -> Iterable[Batch]:
        """Give at most so many batches of view 0, in a fixed shuffled order."""
        rows = np.random.default_rng(self.seed).permutation(len(self.labels))[: batches * self.batch_size]
        encoded = one_hot(self.labels, self.num_classes)
        for start, end in batch_bounds(len(rows), self.batch_size):
            yield self.views[0][rows[start:end]], encoded[rows[start:end]]
