"""Which photos are independent of each other: photos of one group (a scene, a sample, copies) are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.types import Floats, Labels

MANY = 20
"""Below so many independent groups a difference has a t interval, and what a choice costs is drawn group by group."""
FEWEST = 5
"""Below so many independent groups no interval is given: their own scatter tells too little of how far they scatter."""
FEWEST_FOR_BETTER = 10
"""Below so many groups no model is called better than another."""
FEWEST_OF_A_CLASS = 5
"""Groups that each class needs so that draws of groups rarely leave it out (in less than 1 of 100)."""
UNSEEN = 0.25
"""Poor groups that scatter counts in addition: among few groups one that is answered poorly may just be missing."""


@dataclass(frozen=True, eq=False)
class Groups:
    """The independent groups of N photos.

    of_photo: (N,) the group of each photo, 0 to `count` - 1. whole: the groups of all photos, where these are some.
    """

    of_photo: Labels
    whole: Groups | None = None

    @classmethod
    def of(cls, numbers: npt.ArrayLike) -> Groups:
        """Number groups anew, in the order of their numbers (N,), which may be any."""
        return cls(np.unique(np.asarray(numbers, np.int64), return_inverse=True)[1].astype(np.int64).ravel())

    @classmethod
    def single(cls, n: int) -> Groups:
        """Let each of n photos stand alone."""
        return cls(np.arange(n, dtype=np.int64))

    @classmethod
    def joined(cls, first: npt.ArrayLike, second: npt.ArrayLike) -> Groups:
        """Join groups of the same photos that two sources name: photos that either puts together are together."""
        one, other = cls.of(first).of_photo, cls.of(second).of_photo
        while True:  # each pass hands the smallest number on to all photos of a group
            lowest = np.full(one.max(initial=-1) + 1, len(one), np.int64)
            np.minimum.at(lowest, one, other)
            spread = lowest[one]
            if np.array_equal(spread, other):
                return cls.of(spread)
            one, other = other, spread

    @property
    def n_photos(self) -> int:
        """The number of photos."""
        return len(self.of_photo)

    @cached_property
    def sizes(self) -> Floats:
        """(G,) photos of each group."""
        return np.bincount(self.of_photo).astype(np.float64)

    @property
    def count(self) -> int:
        """The number of groups."""
        return len(self.sizes)

    @property
    def are_single(self) -> bool:
        """Whether each photo stands alone."""
        return self.count == self.n_photos

    @cached_property
    def effective(self) -> float:
        """How many groups of equal size tell as much: (sum of sizes)^2 / sum of sizes^2 (Kish 1965).

        One group that holds most photos counts for little more than one, however many others there are.
        """
        return float(self.n_photos**2 / (self.sizes**2).sum()) if self.n_photos else 0.0

    @property
    def are_many(self) -> bool:
        """Whether sums over them are as good as normal."""
        return self.effective >= MANY

    @property
    def too_few(self) -> bool:
        """Whether all photos, of which these may be some, are of fewer than FEWEST groups: nothing has an interval.

        Never where each photo stands alone.
        """
        whole = self.whole or self
        return not whole.are_single and whole.count < FEWEST

    def sums(self, values: npt.NDArray[Any]) -> Floats:
        """Add up values (N, ...) over the photos of each group: (G, ...)."""
        if self.are_single:  # numbered 0, 1, 2 ... in some order
            totals: Floats = np.empty(values.shape)
            totals[self.of_photo] = values
            return totals
        columns = values.reshape(len(values), -1).T
        summed = [np.bincount(self.of_photo, column.astype(np.float64), self.count) for column in columns]
        return np.asarray(np.stack(summed, axis=1).reshape(self.count, *values.shape[1:]), dtype=np.float64)

    def rows(self, chosen: npt.NDArray[Any]) -> Groups:
        """Return the groups of some of the photos: a mask, or positions."""
        return Groups(Groups.of(self.of_photo[chosen]).of_photo, self.whole or self)

    def of_classes(self, labels: Labels) -> list[Groups]:
        """Return the groups of the photos of each class that has photos, in the order of the classes."""
        return [self.rows(labels == number) for number in np.unique(labels)]

    def in_one_group(self, labels: Labels) -> list[int]:
        """List the classes whose photos are all of one group: how far another group would be off cannot be told.

        Nothing where all photos stand alone: then a photo is what is drawn, also that of a class with one photo.
        """
        if self.are_single:
            return []
        return [int(number) for number in np.unique(labels) if self.rows(labels == number).count == 1]

    def worth(self, confidence: float) -> float:
        """Count the independent photos of which the normal distribution says as much as the t distribution of these."""
        if self.are_single:
            return float(self.n_photos)
        normal = NormalDist().inv_cdf((1 + confidence) / 2)
        return self.effective * (normal / t_quantile(confidence, self.effective - 1)) ** 2

    def degrees(self, labels: Labels | None = None) -> float:
        """Count the degrees of freedom of the scatter between groups.

        labels: of a score that is a mean over classes, where groups scatter about the mean of their class.
        """
        if labels is None:
            return self.effective - 1
        return min(self.effective - 1, sum(of_class.effective - 1 for of_class in self.of_classes(labels)))

    def in_words(self, design_effect: float | None = None) -> str:
        """Write '966 photos of 11 independent groups (design effect 22.0)'; of single photos their number alone."""
        return photos_in_words(self.n_photos, None if self.are_single else self.count, design_effect)


def photos_in_words(photos: int, groups: int | None, design_effect: float | None = None, what: str = "photos") -> str:
    """Write '966 test photos of 11 independent groups (design effect 22.0)'; without groups the number of photos alone.

    what: what the photos are called ("test photos").
    """
    if groups is None:
        return f"{photos:,} {what}"
    effect = "" if design_effect is None else design_effect_in_words(design_effect)
    return f"{photos:,} {what} of {groups:,} independent group{'s' * (groups != 1)}{effect}"


def design_effect_in_words(effect: float) -> str:
    """Write ' (design effect 22.0)'."""
    return f" (design effect {effect:.1f})"


def mean_scatter(groups: Groups, values: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the mean of a value that each photo has (N,), and its standard error from the scatter between groups.

    The mean is a ratio of two sums over groups; its error is the linearised one, G / (G - 1) sum (v_g - m n_g)^2 / N^2
    (Liang and Zeger 1986); infinite of one group. Where each photo stands alone it is the usual one, s / sqrt(N).
    """
    mean = float(np.mean(values))
    if groups.count < 2:
        return mean, float("inf")
    off = groups.sums(values - mean)
    return mean, float(np.sqrt(groups.count / (groups.count - 1) * (off**2).sum()) / groups.n_photos)


def photos_worth(groups: float, share: float, variance: float, poor: float = 0.5) -> float:
    """Count the independent photos whose share would have as large a variance as a share of photos in groups has.

    Where most groups are right throughout, few of them scatter less than others would: the rare poor ones are missing.
    So it counts as if there were UNSEEN groups more that are `poor`, as Agresti and Coull 1998
    (doi:10.1080/00031305.1998.10480550) add photos; how many was chosen by simulation (docs/evaluation.md). There are
    at least as many photos as groups: those of a group are no more alike than copies.

    Args:
        groups: the number of groups of equal size, 2 or more. variance: of the share, by the scatter between them.
    """
    scatter = variance + UNSEEN * (share - poor) ** 2 / (groups * (groups - 1))
    return max(share * (1 - share) / scatter if scatter > 0 else 0.0, groups)


def design_effect(groups: Groups, right: npt.NDArray[Any]) -> float | None:
    """Return by how much the variance of a share is larger than with independent photos.

    right: (N,) whether each photo counts. None where all or none do, or where there is one group: nothing scatters.
    """
    share, error = mean_scatter(groups, right)
    independent = share * (1 - share) / max(groups.n_photos - 1, 1)
    return error**2 / independent if independent > 0 and np.isfinite(error) else None


def t_quantile(confidence: float, degrees: float) -> float:
    """Return how many standard errors reach as far as `confidence` asks for; infinite without a degree of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + confidence) / 2)) if degrees > 0 else float("inf")


def class_list(names: Sequence[str], numbers: Sequence[int], most: int = 5) -> str:
    """Name classes, and how many more there are: 'wool, cork and 9 more'."""
    shown = [names[number] for number in numbers[:most]]
    more = len(numbers) - len(shown)
    return ", ".join(shown) + f" and {more} more" * bool(more)
