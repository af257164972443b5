"""Pairs of models that answered the same photos: which differences are real, and how many photos would tell the others.

What counts is the photos that one model gets right and the other wrong; those that both get right, or both wrong, say
nothing of which is better. So a pair can be told apart whose intervals overlap widely. Photos of one group count
together: what they say is one piece of evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from matlens.comparison.paired_test import MacroF1Test, PairedTest
from matlens.evaluation.inference.choosing import Optimism, winners_optimism
from matlens.evaluation.inference.groups import FEWEST_FOR_BETTER, Groups, photos_in_words
from matlens.evaluation.inference.paired import difference_interval, holding_nothing, mcnemar, sign_flip
from matlens.evaluation.inference.paired_macro_f1 import MacroF1Differences, macro_f1_differences
from matlens.evaluation.inference.planning import ALPHA, plan, seed_spread
from matlens.evaluation.inference.simultaneous import Family, holm, simultaneous, two_sided
from matlens.evaluation.metrics.weighted import PredictedPhotos
from matlens.evaluation.predictions import Predictions, same_photos
from matlens.types import Floats, Labels

MACRO_F1_METHOD = ("tested by exchanging the two models' answers; p and 95 % intervals are simultaneous, by max-T")


@dataclass(frozen=True)
class Pairwise:
    """All pairs of models, and sentences on those that could not be compared photo by photo.

    notes: sentences on what all tests rest on (the groups that the photos are in).
    optimism: of the best of all models, where all answered the same photos.
    macro_f1: of the same pairs; empty where it was not asked for.
    """

    tests: tuple[PairedTest, ...]
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    optimism: Optimism | None = None
    macro_f1: tuple[MacroF1Test, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return {pairwise: [...], not_compared: [...]}, and macro_f1: [...] where it was compared."""
        return {"pairwise": [test.to_json() for test in self.tests], "not_compared": list(self.refused)} | (
            {"macro_f1": [test.to_json() for test in self.macro_f1]} if self.macro_f1 else {})

    @property
    def macro_f1_method(self) -> str:
        """Say where the p values and intervals of macro F1 come from."""
        return MACRO_F1_METHOD

    @property
    def method(self) -> str:
        """Say which tests the p values and the intervals come from."""
        test = "Obuchowski's test of groups of photos" if self.notes else "McNemar's test"
        return f"{test}; p and 95 % intervals are simultaneous, by max-T over {len(self.tests)} " \
               f"pair{'s' * (len(self.tests) != 1)}"

    def between(self, first: str, second: str) -> PairedTest | None:
        """Return the test of two models, in either order."""
        return next((test for test in self.tests if {test.first, test.second} == {first, second}), None)


@dataclass(frozen=True, eq=False)
class SamePhotos:
    """Models that answered the same photos. names: of the K models. answers: (N, K) class numbers; labels: (N,)."""

    names: tuple[str, ...]
    groups: Groups
    answers: Labels
    labels: Labels

    @cached_property
    def right(self) -> Floats:
        """(N, K) 1 where a model is right."""
        return np.asarray(self.answers == self.labels[:, None], dtype=np.float64)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The models in pairs, by their columns."""
        return tuple(combinations(range(len(self.names)), 2))

    def family(self) -> Family:
        """Return the sums over groups, for all pairs to be judged together."""
        return Family.of_counts(self.groups.sums(self.right), self.pairs, self.right)

    def test(self, first: int, second: int, reach: float, p_together: float, margin: float | None) -> PairedTest:
        """Test one pair. reach, p_together: of all pairs together."""
        groups, one, other = self.groups, self.right[:, first], self.right[:, second]
        n, b, c = len(one), int((one > other).sum()), int((one < other).sum())
        both = int((one * other).sum())
        sums = groups.sums(one - other)
        p_value = mcnemar(b, c) if groups.are_single else sign_flip(sums)
        effect = float((sums**2).sum()) / (b + c) if b + c else 1.0
        spread = seed_spread(1 - min(one.mean(), other.mean()), n / max(effect, 1.0))
        count, effective = (None, None) if groups.are_single else (groups.count, groups.effective)
        interval = difference_interval(groups, one, other, reach)
        test = PairedTest(self.names[first], self.names[second], n, both, b, c, n - both - b - c, (b - c) / n,
                          interval if p_together < ALPHA else holding_nothing(interval), p_value, p_together, None,
                          spread, count, None if groups.are_single else effect, margin, effective)
        if test.is_real:
            return test
        needed = None if test.too_few_groups or test.interval is None else plan(
            b, c, n, reach, difference_interval(groups, one, other, 1.0), max(effect, 1.0), count)
        return replace(test, needed=needed)

    def macro_f1(self, n_classes: int) -> MacroF1Differences:
        """Return by how much the macro F1 of all pairs differs, to be judged with that of other photos."""
        models = [PredictedPhotos(np.eye(n_classes)[of_model], self.labels) for of_model in self.answers.T]
        return macro_f1_differences(models, self.groups, self.pairs)


def pairwise(judged: Mapping[str, Predictions], split_hashes: Mapping[str, str] | None = None,
             refused: Sequence[str] = (), margin: float | None = None, *, macro_f1: bool = False) -> Pairwise:
    """Test all pairs of models that answered the same photos of the same split, in the order given.

    Args:
        judged: predictions by the model's name.
        split_hashes: of the splits that they are of, where known.
        refused: sentences on models that are not among `judged`.
        margin: a difference (a share) that does not matter.
        macro_f1: compare that, too.
    """
    families, place = _families(judged, split_hashes or {})
    together = simultaneous([family.family() for family in families])
    notes, tests = list(refused), []
    p_values = [dict(zip(family.pairs, of_pairs.tolist(), strict=True))
                for family, of_pairs in zip(families, together.p_values, strict=True)]
    for first, second in combinations(judged, 2):
        if place[first][0] != place[second][0]:
            notes.append(f"{first} and {second} were not judged on the same photos of the same split, so they cannot "
                         "be compared photo by photo.")
            continue
        number, columns = place[first][0], (place[first][1], place[second][1])
        tests.append(families[number].test(*columns, together.reach, p_values[number][columns], margin))
    optimism = winners_optimism(families[0].groups, families[0].right) if len(families) == 1 and tests else None
    return Pairwise(tuple(tests), tuple(notes), _notes(tests), optimism, _macro_f1_tests(families, judged)
                    if macro_f1 else ())


def _macro_f1_tests(families: Sequence[SamePhotos], judged: Mapping[str, Predictions]) -> tuple[MacroF1Test, ...]:
    """Test the macro F1 of all pairs of all families together."""
    compared = [(family, family.macro_f1(judged[family.names[0]].probabilities.shape[1]))
                for family in families if len(family.names) > 1]
    together = simultaneous([differences.family for _, differences in compared])
    tests = []
    for (family, differences), of_pairs in zip(compared, together.p_values, strict=True):
        few = not family.groups.are_single and family.groups.effective < FEWEST_FOR_BETTER
        for pair, (columns, t, p) in enumerate(zip(family.pairs, differences.family.statistics(), of_pairs,
                                                   strict=True)):
            first, second = (family.names[column] for column in columns)
            tests.append(MacroF1Test(first, second, float(differences.differences[pair]),
                                     differences.interval(pair, together.reach), two_sided(float(t)), 1.0, float(p),
                                     few))
    corrected = holm([test.p_value for test in tests])
    return tuple(replace(test, p_holm=p_holm) for test, p_holm in zip(tests, corrected, strict=True))


def _notes(tests: Sequence[PairedTest]) -> tuple[str, ...]:
    """Say which groups the tests rest on, each once."""
    return tuple(dict.fromkeys(
        f"{photos_in_words(test.n_photos, test.n_groups, what='test photos')}: photos of one group count together."
        for test in tests if test.n_groups is not None))


def _families(judged: Mapping[str, Predictions], hashes: Mapping[str, str],
              ) -> tuple[list[SamePhotos], dict[str, tuple[int, int]]]:
    """Put models together that answered the same photos; return them, and of each model its family and column."""
    members: list[list[str]] = []
    place = {}
    for name, predictions in judged.items():
        number = next((number for number, names in enumerate(members) if hashes.get(names[0]) == hashes.get(name)
                       and same_photos(judged[names[0]], predictions) is not None), len(members))
        if number == len(members):
            members.append([])
        place[name] = number, len(members[number])
        members[number].append(name)
    return [_same_photos(names, judged) for names in members], place


def _same_photos(names: Sequence[str], judged: Mapping[str, Predictions]) -> SamePhotos:
    leading = judged[names[0]]
    if len(names) == 1:  # there is nothing to compare it with
        return SamePhotos(tuple(names), Groups.single(0), np.zeros((0, 1), np.int64), np.zeros(0, np.int64))
    groups, answers = Groups.of(leading.groups), np.zeros((len(leading.paths), len(names)), np.int64)
    for column, name in enumerate(names):
        predictions = judged[name]
        rows = same_photos(leading, predictions)
        answers[:, column] = predictions.predicted[rows]
        if predictions.together is not None:
            groups = Groups.joined(groups.of_photo, predictions.groups[rows])
    return SamePhotos(tuple(names), groups, answers, leading.labels)
