"""Scores of many simulated test parts under the same draws: what `group_bootstrap` computes, for all parts at once.

matlens draws with a fixed seed, so all test parts of one size have the same draws. Parts whose photos have the same
classes and groups share the weights of these draws. Sums over photos are then one product of matrices, and each
class's ROC curve is cut into runs of photos of the class and of others, whose weights one sparse product adds up. What
is summed are whole numbers below 2^24, so single precision is exact. The score without each group is in closed form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from matlens.evaluation.inference.bootstrap import DRAWS, ENOUGH_TO_DRAW, ResampledScores, resampled
from matlens.evaluation.inference.groups import Groups
from matlens.evaluation.intervals import SEED
from matlens.types import Floats, Labels

Single = npt.NDArray[np.float32]

_AT_ONCE = 250
"""Draws, so that the weights of 5,750 photos under them stay in a processor's cache."""


@dataclass(frozen=True, eq=False)
class SimulatedParts:
    """Test parts with the same classes and groups. labels: (N,), every class has photos; a group is of one class."""

    groups: Groups
    labels: Labels
    draws: int = DRAWS

    def samples(self, probabilities: Floats) -> Iterator[ResampledScores]:
        """Yield accuracy, macro F1 and macro AUC of each part under all draws. probabilities: (parts, N, C)."""
        answers = probabilities.argmax(axis=2)
        classes = np.arange(probabilities.shape[2])
        of_photos = np.stack([(answers[:, None] == classes[:, None]) & (self.labels == classes[:, None]),
                              answers[:, None] == classes[:, None]], axis=1)  # (parts, hits and answers, C, N)
        counts = self._of_groups(of_photos)
        are_drawn = self.groups.are_single or self.groups.effective >= ENOUGH_TO_DRAW
        drawn = [(counts.reshape(-1, self.groups.count) @ weights).reshape(*counts.shape[:3], -1)
                 for weights in (self._weights if are_drawn else ())]
        for part, part_counts in enumerate(counts):
            orders = [_Runs.of(probabilities[part, :, number], self.labels == number, self.groups)
                      for number in classes]
            whole = part_counts.sum(axis=2, keepdims=True)
            support = self._support.sum(axis=1, keepdims=True)

            def draw(part: int = part, orders: list[_Runs] = orders) -> dict[str, Floats]:
                blocks = [_scores(block[part], of_classes, [order.auc(weights) for order in orders])
                          for block, of_classes, weights in zip(drawn, self._drawn_support, self._weights, strict=True)]
                return {name: np.concatenate([block[name] for block in blocks], axis=1) for name in blocks[0]}

            def leave_out(own: Single = part_counts, whole: Single = whole, support: Single = support,
                          orders: list[_Runs] = orders) -> dict[str, Floats]:
                return _scores(whole - own, support - self._support, [order.without_each() for order in orders])

            yield ResampledScores(self.groups, _scores(whole, support, [order.of_all() for order in orders]), draw,
                                  leave_out)

    def _of_groups(self, of_photos: npt.NDArray[np.bool_]) -> Single:
        """Add up over the photos of each group: (..., N) to (..., G)."""
        flat = of_photos.reshape(-1, of_photos.shape[-1]).astype(np.float32)
        members = csr_array((np.ones(len(self.labels), np.float32),
                             (self.groups.of_photo, np.arange(len(self.labels)))))
        return np.asarray((members @ flat.T).T, np.float32).reshape(*of_photos.shape[:-1], self.groups.count)

    @cached_property
    def _support(self) -> Single:
        """(C, G) photos of each class."""
        return self._of_groups(self.labels == np.arange(self.labels.max() + 1)[:, None])

    @cached_property
    def _weights(self) -> list[Single]:
        """(G, B) of the draws, some at once."""
        blocks = resampled(self.groups.count, self.draws, np.random.default_rng(SEED), _AT_ONCE)
        return [block.astype(np.float32) for block in blocks]

    @cached_property
    def _drawn_support(self) -> list[Single]:
        return [self._support @ weights for weights in self._weights]


def _scores(counts: Single, support: Single, aucs: list[Floats]) -> dict[str, Floats]:
    """Compute scores (1, B) as `WeightedPhotos` does. counts: (hits and answers, C, B). support: (C, B)."""
    hits, answered = counts.astype(np.float64)
    of_classes, auc = support.astype(np.float64), np.array(aucs)
    present, defined = of_classes > 0, ~np.isnan(auc)
    f1 = np.divide(2 * hits, of_classes + answered, out=np.zeros_like(hits), where=of_classes + answered > 0)
    return {"accuracy": (hits.sum(axis=0) / of_classes.sum(axis=0))[None],
            "macro_f1": ((f1 * present).sum(axis=0) / present.sum(axis=0))[None],
            "macro_auc": (np.nan_to_num(auc).sum(axis=0) / defined.sum(axis=0))[None]}


@dataclass(frozen=True, eq=False)
class _Runs:
    """A class's ROC curve: photos by rising probability of the class, in runs of others and of the class in turn.

    others, own: (runs, G) how many photos of each group a run of others has, and the run of the class that follows it.
    """

    others: csr_array
    own: csr_array

    @classmethod
    def of(cls, scores: Floats, is_class: npt.NDArray[np.bool_], groups: Groups) -> _Runs:
        """Sort photos by their scores (N,), no two of which are equal."""
        order = np.argsort(scores)
        own = is_class[order]
        run = np.cumsum(~own & np.concatenate([[True], own[:-1]])) - 1 if not own[0] else np.cumsum(
            ~own & np.concatenate([[False], own[:-1]]))
        shape, group = (int(run[-1]) + 1, groups.count), groups.of_photo[order]

        def sums(chosen: npt.NDArray[np.bool_]) -> csr_array:
            rows, ones = run[chosen], np.ones(int(chosen.sum()), np.float32)
            ends = np.searchsorted(rows, np.arange(shape[0] + 1))
            return csr_array((ones, group[chosen], ends), shape=shape)

        return cls(sums(~own), sums(own))

    def auc(self, weights: Single) -> Floats:
        """Return the weighted share of pairs in right order under weights (G, B): (B,), NaN where there is none."""
        below = np.cumsum(self.others @ weights, axis=0)
        own = self.own @ weights
        won = np.einsum("rb,rb->b", own, below).astype(np.float64)
        pairs = own.sum(axis=0).astype(np.float64) * below[-1]
        return np.divide(won, pairs, out=np.full(won.shape, np.nan), where=pairs > 0)

    def of_all(self) -> Floats:
        """Return the area of all photos, (1,)."""
        return self.auc(np.ones((self.own.shape[1], 1), np.float32))

    def without_each(self) -> Floats:
        """Return the area without each group, (G,)."""
        ones = np.ones(self.own.shape[1])
        own, others = self.own.sum(axis=1), self.others.sum(axis=1)
        below = np.cumsum(others, dtype=np.float64)
        above = np.cumsum(own[::-1], dtype=np.float64)[::-1]
        lost = self.own.T @ below + self.others.T @ above  # pairs that a group has a photo in; of its own it has none
        of_class, of_others = (runs.sum(axis=0).astype(np.float64) for runs in (self.own, self.others))
        pairs = (of_class.sum() - of_class) * (of_others.sum() - of_others)
        return np.divide(own @ below - lost, pairs, out=np.full(ones.shape, np.nan), where=pairs > 0)
