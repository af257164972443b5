"""Methods of a series in pairs: each was trained several times, so what is tested is the method, not one training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from typing import Any, Literal

from matlens.comparison.paired_test import p_words, points
from matlens.comparison.pairwise import Pairwise, pairwise
from matlens.errors import ResultsError
from matlens.evaluation.inference.folds import corrected_interval, corrected_p, pooled
from matlens.evaluation.inference.groups import FEWEST_FOR_BETTER
from matlens.evaluation.inference.planning import ALPHA
from matlens.evaluation.inference.seeds import SeedScores, difference_of_methods, scores_of_seeds
from matlens.evaluation.inference.simultaneous import holm
from matlens.evaluation.part_predictions import SavedPredictions
from matlens.evaluation.predictions import Predictions
from matlens.evaluation.results import Results
from matlens.system.console import command

Over = Literal["splits", "seeds"]
"""What the runs of a series differ in."""


@dataclass(frozen=True)
class JudgedMethod:
    """A model that was trained in several runs of a series.

    name: with the series' before it, where there are several.
    results, predictions: of the runs that judged it, by what they differ in: a split's protocol, or "seed 42". The
        files of predictions need not be there.
    missing: the runs that have not judged it.
    test_per_train: test photos for each training photo.
    """

    name: str
    results: Mapping[str, Results]
    predictions: Mapping[str, SavedPredictions]
    missing: tuple[str, ...]
    test_per_train: float

    @property
    def split_hashes(self) -> tuple[str, ...]:
        """Of the splits that it was judged on, in the order of the runs."""
        return tuple(result.split_hash for result in self.results.values())

    def answers(self) -> list[Predictions]:
        """Read the predictions of all runs that judged it. Raises ResultsError."""
        read = []
        for run, result in self.results.items():
            file = self.predictions[run].file
            way_out = f"Judge it again with: {command('evaluate', file.parent.parent)}"
            if not file.exists():
                raise ResultsError(f"{file} is missing. {way_out}")
            answers = self.predictions[run].read()
            if abs(float((answers.predicted == answers.labels).mean()) - result.accuracy) > 1e-9:
                raise ResultsError(f"{file} does not give the accuracy of the model's results. {way_out}")
            read.append(answers)
        return read


@dataclass(frozen=True)
class MethodsTest:
    """Two methods, compared by accuracy. n_runs: of the first and of the second method.

    difference: mean accuracy of the first less that of the second.
    p_value, p_holm: of the test that the interval belongs to, and corrected for the number of pairs.
    confidence: of the interval: 1 - 5 % / k, if Holm's procedure compared this p value with 5 % / k. So the interval
        leaves out 0 where the two are told apart, and nowhere else.
    interval: of the difference; None where nothing varies.
    """

    first: str
    second: str
    over: Over
    n_runs: tuple[int, int]
    difference: float
    p_value: float
    p_holm: float
    confidence: float
    interval: tuple[float, float] | None

    @property
    def is_real(self) -> bool:
        """Whether the two are told apart at 5 %, all pairs taken together."""
        return self.p_holm < ALPHA

    def to_json(self) -> dict[str, Any]:
        """Return the fields, and `is_real`."""
        return asdict(self) | {"is_real": self.is_real}

    def sentence(self) -> str:
        """Say whether one method is better, by how much, and what else could have been: seeds and photos, or splits."""
        sign = 1 if self.difference >= 0 else -1
        better, worse = (self.first, self.second)[::sign]
        by = f"{points(abs(self.difference))} points"
        if self.interval:
            low, high = sorted(sign * end for end in self.interval)
            by += f" ({points(low)} to {points(high)})"
        if self.is_real:
            return f"{better} is better than {worse} as a method by {by}, p {p_words(self.p_holm)}."
        return f"{better} is not significantly different from {worse} as a method: {by}, p {p_words(self.p_holm)}."


@dataclass(frozen=True)
class MethodsInference:
    """What can be said of methods beyond means.

    scores: of each method, by metric; only of a series of seeds.
    tests: of all pairs of methods. pairs: photo by photo, over all splits together; only of a series of splits.
    notes: what could not be computed, and why.
    """

    scores: Mapping[str, Mapping[str, SeedScores]]
    tests: tuple[MethodsTest, ...]
    pairs: Pairwise | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Pair:
    """Two methods, with the test of their difference. interval: of a confidence."""

    first: JudgedMethod
    second: JudgedMethod
    difference: float
    p_value: float
    interval: Callable[[float], tuple[float, float] | None]


def infer(over: Over, methods: Sequence[JudgedMethod], *, same_photos: bool) -> MethodsInference:
    """Test all pairs of methods that were judged on the same photos, in the order given."""
    return _of_seeds(methods, same_photos) if over == "seeds" else _of_splits(methods, same_photos)


def _of_seeds(methods: Sequence[JudgedMethod], same_photos: bool) -> MethodsInference:
    scores: dict[str, dict[str, SeedScores]] = {}
    notes, photos = [], {}
    for method in methods:
        try:
            answers = method.answers()
            scores[method.name] = scores_of_seeds(answers, next(iter(method.results.values())).class_names)
            of_seed = answers[0]
            photos[method.name] = (of_seed.digests or of_seed.paths, of_seed.labels.tolist(), of_seed.groups.tolist())
        except ResultsError as error:
            notes.append(f"{method.name} has no interval of the method: {error}")
    tests = []
    for first, second in combinations((method for method in methods if method.name in scores), 2):
        if not same_photos or photos[first.name] != photos[second.name]:
            continue
        if few := _too_few_groups(scores[first.name]["accuracy"]):
            notes.append(f"{first.name} and {second.name} are not compared as methods: {few}")
        else:
            difference, two_way = difference_of_methods(
                scores[first.name]["accuracy"], scores[second.name]["accuracy"],
                shared_seeds=list(first.results) == list(second.results))
            tests.append(_Pair(first, second, difference, two_way.p_value(difference),
                               partial(two_way.interval, difference)))
    return MethodsInference(scores, _corrected("seeds", tests), None, tuple(notes))


def _too_few_groups(accuracy: SeedScores) -> str:
    """Say that photos are of too few groups to call a method better; empty where they are not."""
    if not accuracy.together or accuracy.groups >= FEWEST_FOR_BETTER:
        return ""
    return (f"the test photos are worth {math.floor(10 * accuracy.groups) / 10:g} independent groups of equal size, "
            f"and at least {FEWEST_FOR_BETTER} are needed to call one better.")


def _of_splits(methods: Sequence[JudgedMethod], same_photos: bool) -> MethodsInference:
    notes, answers, tests = [], {}, []
    for method in methods if len(methods) > 1 and same_photos else ():
        try:
            answers[method.name] = pooled(method.answers())
        except ResultsError as error:
            notes.append(f"{method.name} is not compared photo by photo over all splits: {error}")
    for first, second in combinations(methods if same_photos else (), 2):
        differences = [a.accuracy - b.accuracy for a, b in zip(
            first.results.values(), second.results.values(), strict=True)]
        tests.append(_Pair(first, second, sum(differences) / len(differences),
                           corrected_p(differences, first.test_per_train),
                           partial(corrected_interval, differences, first.test_per_train, (-1, 1))))
    return MethodsInference({}, _corrected("splits", tests), pairwise(answers) if len(answers) > 1 else None,
                            tuple(dict.fromkeys(notes)))


def _corrected(over: Over, pairs: Sequence[_Pair]) -> tuple[MethodsTest, ...]:
    """Correct p values by Holm's procedure, and make each interval at the level of its step."""
    p_values = [pair.p_value for pair in pairs]
    adjusted = holm(p_values)
    left = sum(p_holm >= ALPHA for p_holm in adjusted)
    tests = []
    for pair, p_holm in zip(pairs, adjusted, strict=True):
        step = left if p_holm >= ALPHA else len(pairs) - sorted(p_values).index(pair.p_value)
        confidence = 1 - ALPHA / step
        tests.append(MethodsTest(pair.first.name, pair.second.name, over,
                                 (len(pair.first.results), len(pair.second.results)), pair.difference, pair.p_value,
                                 p_holm, confidence, _possible(pair.interval(confidence))))
    return tuple(tests)


def _possible(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    """Cut an interval off where no difference of two shares can be: of few runs it may reach further."""
    return interval and (max(interval[0], -1.0), min(interval[1], 1.0))
