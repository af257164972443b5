"""Give scores a meaning by photos that a model was not fitted on, without assuming how scores are distributed.

A photo's p value is the share of calibration photos whose score is at least as high, the photo itself counted with
them. Of photos like the calibration photos at most a share `a` gets a p value of `a` or less (split conformal
prediction; Vovk, Gammerman and Shafer 2005). Photos of one group share the weight of one, so that this holds for a
photo of a group that nobody saw (Lee, Barber and Willett 2023, arXiv:2306.06342); where each photo stands alone that is
the usual p value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from matlens.types import Array, Floats, Labels


def groups_needed(rate: float) -> int:
    """Return the fewest independent groups with which a p value can be as small as `rate`: 19 for 5 %."""
    return math.ceil(1 / rate - 1e-9) - 1


@dataclass(frozen=True, eq=False)
class Conformal:
    """Scores (N,) of calibration photos, the higher the worse, and the numbers of their groups (N,)."""

    scores: Floats
    groups: Labels

    @cached_property
    def count(self) -> int:
        """The number of independent groups."""
        return len(np.unique(self.groups))

    @cached_property
    def _tail(self) -> tuple[Floats, Floats]:
        """Return the scores in ascending order, and by how many are below, the weight of the others: (N + 1,)."""
        order = np.argsort(self.scores, kind="stable")
        numbers, sizes = np.unique(self.groups, return_inverse=True)[1], np.unique(self.groups, return_counts=True)[1]
        weights = 1 / sizes[numbers][order] if len(order) else np.zeros(0)
        above = np.concatenate([np.cumsum(weights[::-1])[::-1], [0.0]])
        return self.scores[order], above

    def p_values(self, scores: npt.ArrayLike) -> Floats:
        """Return the p values of scores of any shape, in (0, 1]."""
        ascending, above = self._tail
        below = np.searchsorted(ascending, np.asarray(scores, dtype=np.float64), "left")
        return np.asarray((above[below] + 1) / (self.count + 1), dtype=np.float64)

    def tells(self, rate: float) -> bool:
        """Return whether there are groups enough for a p value of `rate`."""
        return self.count >= groups_needed(rate)


@dataclass(frozen=True, eq=False)
class PredictionSets:
    """The classes that a photo may well be of, from 1 - p of the true class of calibration photos.

    These are the smallest sets on average (Sadinle, Lei and Wasserman 2019, doi:10.1080/01621459.2017.1395341). They
    are made of the network's own probabilities: a temperature is fitted on the same photos.

    true_probabilities: (N,) of the true classes. labels, groups: (N,) of these photos. classes: how many there are.
    """

    true_probabilities: Floats
    labels: Labels
    groups: Labels
    classes: int

    def tells(self, coverage: float) -> bool:
        """Return whether there are groups enough for sets of this coverage."""
        return self._of_all.tells(1 - coverage)

    def untold(self, coverage: float) -> list[int]:
        """List the classes with too few groups of their own: sets by class hold each of these always."""
        return [number for number, conformal in enumerate(self._by_class) if not conformal.tells(1 - coverage)]

    def members(self, probabilities: Array, coverage: float, *, by_class: bool = False, answers: Labels | None = None,
                ) -> npt.NDArray[np.bool_]:
        """Return which classes are in the sets of photos, (B, C).

        Args:
            probabilities: (B, C), the network's own.
            coverage: the share of photos whose true class is to be in the set, 0 to 1.
            by_class: hold it for the photos of each class, not for all photos together.
            answers: (B,) the classes that are answered, which are always in the set; by default the most probable.
        """
        off = 1 - np.asarray(probabilities, dtype=np.float64)
        if by_class:
            p_values = np.stack([conformal.p_values(off[:, number]) for number, conformal in enumerate(self._by_class)],
                                axis=1)
        else:
            p_values = self._of_all.p_values(off)
        members = p_values > 1 - coverage + 1e-12
        members[np.arange(len(off)), off.argmin(axis=1) if answers is None else answers] = True
        return members

    @cached_property
    def _of_all(self) -> Conformal:
        return Conformal(1 - self.true_probabilities, self.groups)

    @cached_property
    def _by_class(self) -> tuple[Conformal, ...]:
        chosen = [self.labels == number for number in range(self.classes)]
        return tuple(Conformal(1 - self.true_probabilities[rows], self.groups[rows]) for rows in chosen)
