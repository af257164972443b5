"""Models that were trained in several runs, side by side: what tables, console and page of a series are made from.

The runs differ in their split (`minc:all`, `kfold:5`) or in their seed; what ± and intervals mean follows from that.
"""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matlens.comparison.literature import Published
from matlens.comparison.methods import JudgedMethod, MethodsTest, Over
from matlens.comparison.pairwise import Pairwise
from matlens.evaluation.metrics.metric import METRICS, UNKNOWN, Metric

COLUMNS = 80
"""Of a terminal: no line of the console is longer."""

_NAME = 22

_TESTS: Mapping[Over, str] = {
    "seeds": "Methods are compared on the same photos, and in pairs where they have the same seeds.",
    "splits": "A test on all photos is of the models as they were trained here, one for each split; a test of methods "
              "(corrected t) is for other splits, too."}


@dataclass(frozen=True)
class Spread:
    """Of a score over runs: mean, and sample standard deviation (n - 1; None of one value).

    interval: the ends of the 95 % interval of the method's score, where it is known.
    """

    values: tuple[float, ...]
    interval: tuple[float, float] | None = None

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        """76.0 ± 0.2 %, of a share."""
        deviation = "" if self.deviation is None else f" ± {100 * self.deviation:.1f}"
        return f"{100 * self.mean:.1f}{deviation} %"


@dataclass(frozen=True)
class SeriesRow:
    """One model. runs: what those that judged it differ in (a split's protocol, "seed 42"); missing: the others.

    scores: by the metric's name, of those metrics that all these runs know.
    """

    model: str
    runs: tuple[str, ...]
    missing: tuple[str, ...]
    scores: Mapping[str, Spread]
    n_test: tuple[int, ...]
    split_hashes: tuple[str, ...]
    train_on: str
    remarks: tuple[str, ...]

    @property
    def accuracy(self) -> Spread:
        """Mean and spread of the accuracy."""
        return self.scores["accuracy"]

    def in_words(self, metric: Metric) -> str:
        """Write a score as tables show it: 76.0 ± 0.2 % (75.6 to 76.4)."""
        text, ends = self.spread_in_words(metric), self.ends_in_words(metric)
        return f"{text} ({ends})" if ends else text

    def spread_in_words(self, metric: Metric) -> str:
        """Write the mean and the deviation of a score, or that they are unknown."""
        spread = self.scores.get(metric.name)
        if spread is None:
            return UNKNOWN
        if metric.as_percent:
            return str(spread)
        return f"{spread.mean:.3f}" + ("" if spread.deviation is None else f" ± {spread.deviation:.3f}")

    def ends_in_words(self, metric: Metric) -> str:
        """Write the interval of a score, without the unit; empty where it is unknown."""
        return metric.ends_in_words(self.scores[metric.name].interval) if metric.name in self.scores else ""


@dataclass(frozen=True)
class ComparedMethods:
    """At least one row, best mean accuracy first. published: others' results, shown below, never ranked.

    tests: of methods in pairs. pairs: models photo by photo, over all splits together; None of a series of seeds.
    notes: what could not be computed, and why.
    """

    over: Over
    protocol: str
    rows: tuple[SeriesRow, ...]
    published: tuple[Published, ...] = ()
    tests: tuple[MethodsTest, ...] = ()
    pairs: Pairwise | None = None
    notes: tuple[str, ...] = ()

    @property
    def same_photos(self) -> bool:
        """Whether all models were judged on the same photos of the same splits; else means must not be ranked."""
        return same_photos(self.over, self.rows)

    @property
    def runs(self) -> tuple[str, ...]:
        """What the runs differ in, those without results too."""
        return tuple(dict.fromkeys(run for row in self.rows for run in (*row.runs, *row.missing)))

    def sentences(self, model: str | None = None) -> tuple[str, ...]:
        """Say of each pair, or of those with a model, which is better: on the photos of all splits, and as a method."""
        of_pairs = self.pairs.tests if self.pairs else ()
        return (*(f"On all {test.n_photos:,} photos: {test.sentence()}" for test in of_pairs
                  if model in (None, test.first, test.second)),
                *(test.sentence() for test in self.tests if model in (None, test.first, test.second)))

    @property
    def explained(self) -> tuple[str, ...]:
        """What ± and the brackets are, and what they assume."""
        if self.over == "seeds":
            what = ["± is the sample standard deviation over the seeds, all on one split."]
            brackets = ("In brackets: the 95 % interval of the method, for other seeds and other photos (Student's t "
                        "for the seeds; groups of photos that belong together count as one).")
        else:
            what = [f"± is the sample standard deviation over the splits of {self.protocol}, not a standard error of "
                    "the mean: their training photos overlap."]
            brackets = ("In brackets: the 95 % interval of the mean by Nadeau and Bengio's corrected t. It assumes "
                        "that the scores of two splits correlate by n_test / (n_test + n_train), a rule of thumb: "
                        "splits are not independent, and no exact interval is known.")
        known = any(spread.interval for row in self.rows for spread in row.scores.values())
        return (*what, *[brackets] * known, *[_TESTS[self.over]] * bool(self.tests))

    def lines(self) -> list[str]:
        """Write what the console shows, in lines that fit a terminal."""
        shown = []
        for row in self.rows:
            figures = f"{row.in_words(METRICS['accuracy'])} accuracy, {len(row.runs)} {self.over}"
            line = f"  {row.model:<{_NAME}} {figures}"
            shown += [line] if len(line) <= COLUMNS else [f"  {row.model}", f"    {figures}"]
        for text in (*self.explained, *self.sentences(), *self.notes):
            shown += textwrap.wrap(text, COLUMNS, initial_indent="  ", subsequent_indent="    ",
                                   break_on_hyphens=False)
        return shown


def same_photos(over: Over, judged: Sequence[JudgedMethod] | Sequence[SeriesRow]) -> bool:
    """Return whether models were judged on the same photos of the same splits."""
    if over == "seeds":
        return len({split for one in judged for split in one.split_hashes}) == 1
    return not any(one.missing for one in judged) and len({one.split_hashes for one in judged}) == 1
