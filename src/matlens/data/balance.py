"""What an epoch makes of classes of different sizes: the order in which it takes photos, and what each photo weighs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matlens.types import Array, Labels


@dataclass(frozen=True, eq=False)
class Balance:
    """How photos of one part count in a training.

    weights: (N,) float32, each photo's weight in the loss; None: all count 1.
    sampled: draw each class equally often, in place of each photo once.
    """

    weights: Array | None = None
    sampled: bool = False

    def targets(self, labels: Labels, rows: Labels, num_classes: int) -> Array:
        """Return the labels (B, C) float32 of some rows: one-hot, times the photo's weight."""
        encoded = np.zeros((len(rows), num_classes), dtype=np.float32)
        encoded[np.arange(len(rows)), labels[rows]] = 1 if self.weights is None else self.weights[rows]
        return encoded

    def draws(self, labels: Labels, seed: int, epoch: int) -> Labels:
        """Draw as many photos as there are, in an order that follows from seed and epoch alone.

        Returns (N,) numbers: `number % N` is a photo's row, `number // N` how often the epoch has drawn it before.
        """
        rng = np.random.default_rng([seed, epoch])
        return balanced_draws(labels, rng) if self.sampled else rng.permutation(len(labels))


NATURAL = Balance()
"""Each photo once, and each counts the same."""


def balanced_draws(labels: Labels, rng: np.random.Generator) -> Labels:
    """Draw N of N photos so that numbers of any two classes differ by 1 at most.

    A class gives its photos in turn, in a new order each time, so that none is drawn a third time before each was drawn
    twice. Which classes give one photo more, where N cannot be divided, is drawn too.

    Args:
        labels: (N,) class numbers; classes without a photo do not count.

    Returns:
        Numbers as `Balance.draws` returns them.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    shares = np.full(len(classes), len(labels) // max(len(classes), 1))
    shares[rng.permutation(len(classes))[:len(labels) - int(shares.sum())]] += 1
    drawn = [np.empty(0, np.int64)]
    for number, size, share in zip(classes.tolist(), sizes.tolist(), shares.tolist(), strict=True):
        photos = np.flatnonzero(labels == number)
        turns = [rng.permutation(photos) + turn * len(labels) for turn in range(-(-share // size))]
        drawn.append(np.concatenate(turns)[:share] if turns else drawn[0])
    return np.asarray(rng.permutation(np.concatenate(drawn)), dtype=np.int64)
