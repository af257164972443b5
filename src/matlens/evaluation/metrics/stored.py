"""Scores as a results file holds them, in this version's key or in those of the guide."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from matlens.evaluation.metrics.metric import METRICS


@dataclass(frozen=True)
class MetricValue:
    """A metric's value for one model, and the ends of its 95 % interval; None where they are unknown."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """(low, high), where both are known."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def value_at(content: Mapping[str, Any], key: str) -> Any:
    """Return what stands at a dotted place of nested mappings; None where nothing does."""
    value: Any = content
    for word in key.split("."):
        value = value.get(word) if isinstance(value, Mapping) else None
    return value


def scores_in(content: Mapping[str, Any]) -> dict[str, MetricValue]:
    """Collect a model's scores from the content of its results file, by the metric's name.

    A score that one of the guide's keys holds is taken from there, with the interval that `intervals` holds: that gives
    the scores of files that were written before there was a key `scores`, too. The others are taken from `scores`, also
    those of metrics that are not registered here. A metric that the model was not judged by is left out.
    """
    given = content.get("scores")
    stored = {name: _score(score) for name, score in given.items()} if isinstance(given, Mapping) else {}
    intervals = content.get("intervals") or {}
    scores = {}
    for metric in METRICS.entries():
        if metric.key and (value := _number(value_at(content, metric.key))) is not None:
            ends = intervals.get(metric.interval_key or metric.name) or {}
            scores[metric.name] = MetricValue(value, _number(ends.get("low")), _number(ends.get("high")))
        elif metric.name in stored or metric.key:
            scores[metric.name] = MetricValue(None) if metric.key else stored[metric.name]
    return scores | {name: score for name, score in stored.items() if name not in scores}


def _score(score: MetricValue | Mapping[str, Any]) -> MetricValue:
    if isinstance(score, MetricValue):
        return score
    return MetricValue(*(_number(score.get(part)) for part in ("value", "low", "high")))


def _number(value: Any) -> float | None:
    """Return a number as a float, and None for anything else (another tool's results may hold NaN)."""
    return float(value) if isinstance(value, Real) and math.isfinite(value) else None
