"""What a metric is, and the registry that holds all of them.

    METRICS.register(Metric("mcc", "Matthews correlation", "correlation of truth and answer", of=matthews,
                            bounds=(-1, 1), better="high", source="Matthews 1975"))

That is all it takes: `results.json`, its schema, the comparison, its CSV and Markdown, and the report follow from the
registry. A metric is computed in one of three ways:

- `weighted`: a function of `WeightedPhotos` that gives the metric under many weightings at once. Its interval costs
  little, so this is how matlens declares its own.
- `of`: a function of (probabilities (N, C) float32, labels (N,) int64) that gives a number, or None where the photos
  leave it undefined. Its interval comes from fewer draws (`scores.PLAIN_DRAWS`), each of which calls the function once;
  a draw for which it raises ValueError counts as undefined. `interval=False` leaves the interval out.
- `key` alone: the value stands at this place of the results already (`calibration.ece`). It has no interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from matlens.evaluation.inference.bootstrap import Quantity
from matlens.evaluation.intervals import Interval
from matlens.evaluation.metrics.weighted import WeightedPhotos
from matlens.system.registry import LAST, Registry
from matlens.types import Array, Floats, Labels

Better = Literal["high", "low"]
Table = Literal["main", "further"]

RESERVED = frozenset({
    "model", "parameters", "training_seconds", "prediction_photos_per_second", "pretrained", "n_test", "protocol",
    "split_hash", "photos_hash", "remarks", "source", "per_class", "accuracy_wilson"})
"""Names that columns of the comparison, or keys of the results' `intervals`, have already."""

GUIDE_KEYS = frozenset({
    "accuracy", "macro_precision", "macro_recall", "macro_f1", "roc_auc", "mean_class_accuracy", "balanced_accuracy",
    "top_k", "cohen_kappa", "log_loss", "brier", "calibration", "coverage", "groups"})
"""Keys of `results.json` that hold scores beside `scores`, as they did before there was that key. None is added."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Metric:
    """A score of a classifier.

    Args:
        name: its key in `results.json` and its column in the CSV: an identifier. The columns of an interval end in
            `_low` and `_high`, so no name does.
        title: what tables call it, as in running text ("log loss"); `heading` begins with a capital letter.
        meaning: in a few words, what it says.
        of, weighted: how it is computed: see the module's documentation.
        bounds: the lowest and the highest possible value. A results file with another value is refused.
        better: which values are better; None where that is not the question (a temperature).
        table: where a comparison shows it: beside the accuracy, or in the table of what accuracy does not say. None:
            in the results and in a model's own table alone.
        as_percent: whether it is a share, shown in percent; else it is shown with three decimals.
        source: where it was defined, as papers are cited.
        key: its place, dotted, among the guide's keys of `results.json`. Metrics without one are in `scores` alone.
        interval_key: its key in the results' `intervals`; the name, if it is not said.
        interval: whether it has an interval, where it is computed from the photos.
        of_classes: whether it weighs classes, so that it needs several independent groups of photos of each class. A
            mean over photos does not.
        poor: its value for a group of photos that is answered poorly, about half way between guessing and perfect. Of
            few groups the interval allows for such ones that are not seen. By default the middle of its bounds.
        fallback: the interval from (hits, photos), where all draws give the same value.
        tolerance: by how much rounding may carry a value over its bounds.
        rank: the place in tables; those that matlens brings come first.
    """

    name: str
    title: str
    meaning: str = ""
    of: Callable[[Array, Labels], float | None] | None = None
    weighted: Callable[[WeightedPhotos], Floats | None] | None = None
    bounds: tuple[float, float] = (0.0, 1.0)
    better: Better | None = "high"
    table: Table | None = "further"
    as_percent: bool = False
    source: str = ""
    key: str = ""
    interval_key: str = ""
    interval: bool = True
    of_classes: bool = True
    poor: float | None = None
    fallback: Callable[[float, float], Interval | None] | None = None
    tolerance: float = _ROUNDING
    rank: int = LAST

    def __post_init__(self) -> None:
        """Raise ValueError, which names the metric, where the declaration is incomplete or contradicts itself."""
        if not self.name.isidentifier() or self.name in RESERVED or self.name.endswith(("_low", "_high")):
            raise ValueError(f"the metric's name {self.name!r} is no identifier, or is taken by another column")
        if not self.title.strip():
            raise ValueError(f"the metric '{self.name}' has no title")
        ways = [way for way in (self.of, self.weighted) if way is not None]
        if len(ways) > 1 or not (ways or self.key):
            raise ValueError(f"the metric '{self.name}' must say in one way how it is computed: of, weighted or key")
        if self.key and self.key.partition(".")[0] not in GUIDE_KEYS:
            raise ValueError(f"the metric '{self.name}' has the key {self.key!r}, which is none of the guide's; leave "
                             "it out, and the metric stands in `scores`")
        if not self.bounds[0] < self.bounds[1]:
            raise ValueError(f"the metric '{self.name}' has bounds of which the first is not below the second")
        if self.better not in ("high", "low", None) or self.table not in ("main", "further", None):
            raise ValueError(f"the metric '{self.name}' has better={self.better!r}, table={self.table!r}; they are "
                             "'high', 'low' or None, and 'main', 'further' or None")

    @property
    def heading(self) -> str:
        """The title with a capital letter, for the head of a row or a column."""
        return self.title[:1].upper() + self.title[1:]

    @property
    def has_interval(self) -> bool:
        """Whether an interval is computed for it."""
        return self.interval and (self.of is not None or self.weighted is not None)

    @property
    def quantity(self) -> Quantity:
        """What the interval from groups of photos must know."""
        return Quantity(self.bounds, self.of_classes, self.poor)

    @property
    def best(self) -> float | None:
        """The best possible value, if there is one."""
        value = {"high": self.bounds[1], "low": self.bounds[0], None: None}[self.better]
        return value if value is not None and math.isfinite(value) else None

    def holds(self, value: float) -> bool:
        """Return whether a value is possible, rounding aside."""
        return self.bounds[0] - self.tolerance <= value <= self.bounds[1] + self.tolerance

    def in_words(self, value: float | None) -> str:
        """Write a value as tables show it: 86.3 %, 0.512, or n/a where it is unknown."""
        return UNKNOWN if value is None else percent(value) if self.as_percent else f"{value:.3f}"

    def ends_in_words(self, ends: tuple[float, float] | None) -> str:
        """Write an interval as tables show it, without the unit: 82.9 to 89.6; empty where it is unknown."""
        if ends is None:
            return ""
        return " to ".join(f"{100 * end:.1f}" if self.as_percent else f"{end:.3f}" for end in ends)

    def better_of(self, values: Iterable[float]) -> float | None:
        """Return the best of some values; None if there are none, or if this metric ranks none above another."""
        chosen = {"high": max, "low": min, None: None}[self.better]
        known = list(values)
        return chosen(known) if chosen and known else None


METRICS: Registry[Metric] = Registry("metric", "matlens.evaluation.metrics.declared")
"""Every score that matlens knows, those of the main table first."""

UNKNOWN = "n/a"


def percent(share: float | None) -> str:
    """Return 0.8634 as '86.3 %', and an unknown share as 'n/a'."""
    return UNKNOWN if share is None else f"{100 * share:.1f} %"


def metrics_of(table: Table) -> list[Metric]:
    """List the metrics that a table of the comparison shows, in order."""
    return [metric for metric in METRICS.entries() if metric.table == table]
