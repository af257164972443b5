"""Batches of computed features or activations, in the same orders as `PhotoBatches` gives photos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from matlens.data.ahead import prepared_ahead
from matlens.data.balance import NATURAL, Balance
from matlens.system.batching import batch_bounds
from matlens.types import Batch, Labels, Rows


@dataclass(frozen=True)
class FeatureBatches:
    """Features of one part in batches, in the order that photos have for the same seed.

    views: (N, K) features or (N, h, w, K) activations of each view.
    labels: (N,) class numbers.
    by_turns: an epoch takes each photo once, in one of its views, and the next epoch takes the next view; without it an
        epoch takes all views of all photos, mixed.
    balance: how photos count; it draws them, in their views, where they are shuffled.
    """

    views: tuple[Rows, ...]
    labels: Labels
    num_classes: int
    batch_size: int
    seed: int = 0
    shuffle: bool = False
    by_turns: bool = False
    balance: Balance = NATURAL

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
        photos, taken = len(self.labels), self._an_epoch
        draws = np.arange(taken)
        if self.shuffle:
            draws = self.balance.draws(np.resize(self.labels, taken), self.seed, epoch)
        photo_of, view_of = draws % photos, draws % max(taken, 1) // photos
        if self.by_turns:  # a photo that is drawn again comes in its next view
            first = np.random.default_rng([self.seed, 2]).integers(len(self.views), size=photos)
            view_of = (first[photo_of] + epoch + draws // photos) % len(self.views)
        for start, end in batch_bounds(taken, self.batch_size):
            rows, of_view = photo_of[start:end], view_of[start:end]
            features = np.empty((len(rows), *self.views[0].shape[1:]), dtype=np.float32)
            for view in np.unique(of_view):
                chosen = of_view == view
                features[chosen] = self.views[view][rows[chosen]]
            yield features, self.balance.targets(self.labels, rows, self.num_classes)

    def head(self, batches: int) -> Iterable[Batch]:
        """Give at most so many batches of view 0, in a fixed shuffled order."""
        rows = np.random.default_rng(self.seed).permutation(len(self.labels))[: batches * self.batch_size]
        for start, end in batch_bounds(len(rows), self.batch_size):
            chosen = rows[start:end]
            yield self.views[0][chosen], NATURAL.targets(self.labels, chosen, self.num_classes)
