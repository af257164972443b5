"""What is known of two models that answered the same photos, and how it is put in words."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from matlens.evaluation.inference.groups import FEWEST_FOR_BETTER
from matlens.evaluation.inference.planning import ALPHA, MOST_TIMES, PhotosNeeded
from matlens.evaluation.intervals import Interval

Outcome = Literal["better", "equivalent", "undecided"]


@dataclass(frozen=True)
class PairedTest:
    """Two models on the same `n_photos`.

    both_right, only_first, only_second, both_wrong: photos by who is right.
    difference: accuracy of the first less that of the second, and its `interval`, which holds together with those of
        all other pairs; None where groups are too few for one.
    p_adjusted: for all pairs together, by the procedure that the interval is from: it leaves out 0 exactly where this
        is below 5 %. p_value: of the pair alone, exact: McNemar's test, or of groups the sign-flip test.
    needed: test photos that would tell the two apart with a power of 80 %; None where they are told apart, or equally
        often right, or groups are too few for a plan.
    seed_spread: by how much (standard deviation) another seed may move the accuracy of either model.
    n_groups, design_effect: of the difference; None where each photo stands alone. effective_groups: how many groups of
        equal size would tell as much.
    margin: a difference that does not matter (a share); None where none was named.
    """

    first: str
    second: str
    n_photos: int
    both_right: int
    only_first: int
    only_second: int
    both_wrong: int
    difference: float
    interval: Interval | None
    p_value: float
    p_adjusted: float
    needed: PhotosNeeded | None
    seed_spread: float
    n_groups: int | None = None
    design_effect: float | None = None
    margin: float | None = None
    effective_groups: float | None = None

    @property
    def too_few_groups(self) -> bool:
        """Whether groups, counted by their sizes, are too few to call models better or equivalent."""
        return self.effective_groups is not None and self.effective_groups < FEWEST_FOR_BETTER

    @property
    def is_real(self) -> bool:
        """Whether the two are told apart at 5 %, all pairs taken together."""
        return self.p_adjusted < ALPHA and self.interval is not None and not self.too_few_groups

    @property
    def better(self) -> str:
        """The model that is right more often; the first where both are right equally often."""
        return self.first if self.difference >= 0 else self.second

    @property
    def photos_needed(self) -> int | None:
        """Test photos that would tell the two apart, if they differ as they do here."""
        return self.needed.photos if self.needed else None

    @property
    def is_equivalent(self) -> bool:
        """Whether the whole interval lies within the margin: two one-sided tests, for all pairs together."""
        return (self.margin is not None and self.interval is not None and not self.too_few_groups
                and max(abs(self.interval.low), abs(self.interval.high)) < self.margin)

    @property
    def outcome(self) -> Outcome:
        """Say better (a difference is real), equivalent (within the margin) or undecided."""
        return "better" if self.is_real else "equivalent" if self.is_equivalent else "undecided"

    @property
    def outcome_in_words(self) -> str:
        """Write the outcome as a cell of a table: yes, no, within 2.0, yes (within 2.0), undecided."""
        if self.margin is None:
            return "yes" if self.is_real else "no"
        within = f"within {points(self.margin)}"
        if self.is_real:
            return f"yes ({within})" if self.is_equivalent else "yes"
        return within if self.is_equivalent else "undecided"

    @property
    def needed_in_words(self) -> str:
        """Write the photos needed and their range as a cell of a table; empty where there is nothing to write."""
        if self.needed is None:
            return ""
        if self.needed.photos is None:
            return f"more than {MOST_TIMES * self.n_photos:,}"
        return f"{self.needed.photos:,}" + f" ({_range(self.needed)})" * bool(self.needed.fewest)

    def to_json(self) -> dict[str, Any]:
        """Return the fields, `is_real`, `outcome` and `photos_needed`; those of groups and a margin if any."""
        content = asdict(self) | {"is_real": self.is_real, "outcome": self.outcome,
                                  "photos_needed": self.photos_needed}
        unsaid = [key for key in ("n_groups", "design_effect", "margin", "effective_groups") if content[key] is None]
        return {key: value for key, value in content.items() if key not in unsaid}

    def sentence(self) -> str:
        """Say which is better, by how much, how sure that is, and what another seed may change."""
        return (f"{self._outcome_sentence()} These are two trained models: another seed may move either by about "
                f"{points(self.seed_spread)} points.")

    def _outcome_sentence(self) -> str:
        sign = 1 if self.difference >= 0 else -1
        better, worse = (self.first, self.second)[::sign]
        p = f"p {p_words(self.p_adjusted)}"
        within = (f" They are equivalent within {points(self.margin)} points."
                  if self.margin is not None and self.is_equivalent else "")
        if not self.difference:
            return f"{better} and {worse} are right equally often: no difference is seen, {p}.{within}"
        by = f"{points(abs(self.difference))} points"
        if self.interval:
            low, high = sorted(sign * end for end in (self.interval.low, self.interval.high))
            by += f" ({points(low)} to {points(high)})"
        if self.is_real:
            return f"{better} is better than {worse} by {by}, {p}.{within}"
        return f"{better} is not significantly different from {worse}: {by}, {p}.{within or self._way_out()}"

    def _groups_in_words(self) -> str:
        """Write '20 independent groups, which tell as much as 1.4 of equal size'."""
        words = f"{self.n_groups} independent group{'s' * (self.n_groups != 1)}"
        if self.effective_groups is None or self.effective_groups == self.n_groups:
            return words
        return f"{words}, which tell as much as {math.floor(10 * self.effective_groups) / 10:.1f} of equal size"

    def _way_out(self) -> str:
        """Say what would tell the two apart."""
        if self.too_few_groups:
            return (f" The photos are of {self._groups_in_words()}, and at least {FEWEST_FOR_BETTER} are needed to "
                    "call models better or equivalent.")
        undecided = ("" if self.margin is None else
                     f" Whether they are within {points(self.margin)} points is undecided.")
        if self.needed is None:
            return undecided
        if self.needed.photos is None:
            return (f"{undecided} More than {MOST_TIMES * self.n_photos:,} test photos would be needed to confirm a "
                    "difference this small: for most uses they are as good as each other.")
        groups = f" in {_rounded(self.needed.groups):,} groups like these" if self.needed.groups else ""
        between = f" ({_range(self.needed)})" if self.needed.fewest else ""
        return (f"{undecided} About {_rounded(self.needed.photos):,} test photos{between}{groups} would be needed to "
                "confirm a difference this large.")


@dataclass(frozen=True)
class MacroF1Test:
    """The macro F1 of two models on the same photos.

    difference: of the first less the second. p_adjusted, interval: for all pairs together, from one procedure (max-T).
    p_value: of the pair alone; p_holm: that, corrected by Holm for the number of pairs.
    too_few_groups: whether the photos are of too few groups to call a model better.
    """

    first: str
    second: str
    difference: float
    interval: Interval | None
    p_value: float
    p_holm: float
    p_adjusted: float
    too_few_groups: bool = False

    @property
    def is_real(self) -> bool:
        """Whether the two are told apart at 5 %, all pairs taken together."""
        return self.p_adjusted < ALPHA and not self.too_few_groups and self.interval is not None

    def to_json(self) -> dict[str, Any]:
        """Return the fields, and `is_real`."""
        return asdict(self) | {"is_real": self.is_real}


def p_words(p_value: float) -> str:
    """Write a p value as '= 0.576', or '< 0.001': no test is so sure that it could be 0."""
    return f"= {p_value:.3f}" if p_value >= 0.001 else "< 0.001"


def p_cell(p_value: float) -> str:
    """Write a p value as a cell of a table: 0.576, or < 0.001."""
    return p_words(p_value).removeprefix("= ")


def points(share: float) -> str:
    """Write a difference of shares in percentage points: 0.0321 as '3.2'."""
    return f"{100 * share + 0.0:.1f}".replace("-0.0", "0.0")


def _rounded(count: int) -> int:
    """Round up to two digits that count: 1,234 to 1,300."""
    unit = int(10 ** max(len(str(count)) - 2, 0))
    return -(-count // unit) * unit


def _range(needed: PhotosNeeded) -> str:
    """Write how many photos it takes if the difference is as large, or as small, as it may well be."""
    fewest = f"{_rounded(needed.fewest or 0):,}"
    return f"{fewest} or more" if needed.most is None else f"{fewest} to {_rounded(needed.most):,}"
