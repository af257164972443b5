"""Batches of kept features or activations, as `PhotoBatches` gives photos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from matlens.data.batches import one_hot, prepared_ahead
from matlens.system.batching import batch_bounds
from matlens.types import Batch


class Rows(Protocol):
    """Features (N, ...) by row: an array, or `Activations`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...)."""

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Rows, copied."""


@dataclass(frozen=True)
class FeatureBatches:
    """Features of one part in batches: the same orders as photos have for the same seed.

    views: of each view, (N, K) features or (N, h, w, K) activations.
    labels: (N,) class numbers.
    by_turns: an epoch goes once through the photos, each in one of its views, another one in the next epoch; else it
        goes through all views of all photos, mixed.
    """

    views: tuple[Rows, ...]
    labels: npt.NDArray[np.int64]
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
        """The batches of one epoch; activations, which come from the disk, are prepared ahead."""
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
                mine = of_view == view
                features[mine] = self.views[view][rows[mine]]
            yield features, encoded[rows]

    def head(self, batches: int) -> Iterable[Batch]:
        """The first batches of view 0, in a fixed shuffled order."""
        rows = np.random.default_rng(self.seed).permutation(len(self.labels))[: batches * self.batch_size]
        encoded = one_hot(self.labels, self.num_classes)
        for start, end in batch_bounds(len(rows), self.batch_size):
            yield self.views[0][rows[start:end]], encoded[rows[start:end]]
