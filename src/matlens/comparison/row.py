"""What a comparison knows of one judged model, and how it is put in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from matlens.errors import ResultsError
from matlens.evaluation.inference.groups import photos_in_words
from matlens.evaluation.metrics.metric import METRICS, percent
from matlens.evaluation.metrics.stored import MetricValue, scores_in
from matlens.evaluation.results import Results, prediction_rate

FACTS = ("parameters", "training_seconds", "prediction_photos_per_second", "pretrained", "n_test", "protocol",
         "split_hash")
"""Columns that are no scores, beside the model's name and remarks."""

FIRST_COLUMNS = (
    "model", "accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_auc", *FACTS, "remarks", "accuracy_low",
    "accuracy_high", "macro_f1_low", "macro_f1_high", "macro_auc_low", "macro_auc_high", "mean_class_accuracy", "top_3",
    "top_5", "cohen_kappa", "log_loss", "brier", "ece", "temperature", "aurc")
"""The columns of the CSV as other programs know them. Those of metrics that were declared later follow."""

GROUPS = ("n_groups", "design_effect")
"""Columns that a table has where some photos are not independent of each other."""


def added_columns() -> list[str]:
    """Name the columns that follow the first ones: each metric of the tables and the ends of its interval."""
    names = [column for metric in METRICS.entries() if metric.table for column in (
        metric.name, *((f"{metric.name}_low", f"{metric.name}_high") if metric.has_interval else ()))]
    return [name for name in names if name not in FIRST_COLUMNS]


def standard_error(share: float, n: int) -> float | None:
    """Compute sqrt(p (1 - p) / n), the binomial standard error of a share `p` of `n` photos; None without photos."""
    return math.sqrt(share * (1 - share) / n) if n > 0 else None


def _training_seconds(seconds: Mapping[str, float]) -> float | None:
    """Add up what it took to train: features and activations that were computed for it, the head, the network."""
    stages = [seconds[stage] for stage in ("features", "head", "activations", "train") if stage in seconds]
    return round(sum(stages), 3) if stages else None


def _interval_methods(intervals: Mapping[str, Any]) -> dict[str, str]:
    """Take from the results' `intervals` how that of each metric was computed, where it is told."""
    by_metric = {metric.name: intervals.get(metric.interval_key or metric.name) for metric in METRICS.entries()}
    return {name: str(interval["method"]) for name, interval in by_metric.items()
            if isinstance(interval, Mapping) and "method" in interval}


@dataclass(frozen=True)
class Row:
    """One model of a comparison. None stands for unknown.

    scores: by the metric's name; of metrics that the model was not judged by there are none.
    photos_hash: of the photos that it was judged on (`Results.photos_hash`); empty where it is not known.
    interval_methods: where the interval of a metric comes from (`evaluation.intervals.IntervalMethod`), by its name.
    """

    model: str
    scores: Mapping[str, MetricValue]
    parameters: int | None
    training_seconds: float | None
    prediction_photos_per_second: float | None
    pretrained: str
    n_test: int
    protocol: str
    split_hash: str
    remarks: str
    photos_hash: str = ""
    n_groups: int | None = None
    design_effect: float | None = None
    interval_methods: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_results(cls, results: Results | Mapping[str, Any]) -> Row:
        """Take Results, or what a `<name>_results.json` holds. Raises ResultsError without an accuracy."""
        content = vars(results) if isinstance(results, Results) else results
        model, accuracy = str(content.get("model_name") or "a model without a name"), content.get("accuracy")
        if not 0 <= (float(accuracy) if isinstance(accuracy, Real) else math.nan) <= 1:
            raise ResultsError(f"The results of {model} hold no accuracy between 0 and 1 ({accuracy!r}). "
                               "Judge it again with: matlens evaluate RUN")
        pretrained = content.get("pretrained")
        return cls(model, scores_in(content), parameters=content.get("parameters"),
                   training_seconds=_training_seconds(content.get("seconds") or {}),
                   prediction_photos_per_second=prediction_rate(content.get("seconds") or {}),
                   pretrained="unknown" if pretrained is None else "yes" if pretrained else "no",
                   n_test=int(content.get("n_test") or 0), protocol=str(content.get("protocol") or ""),
                   split_hash=str(content.get("split_hash") or "")[:12],
                   remarks="; ".join(remark.rstrip(".") for remark in content.get("remarks") or ()),
                   photos_hash=str(content.get("photos_hash") or ""),
                   n_groups=content.get("n_groups"), design_effect=content.get("design_effect"),
                   interval_methods=_interval_methods(content.get("intervals") or {}))

    @property
    def accuracy(self) -> float:
        """The share of test photos that are right."""
        accuracy = self.value("accuracy")
        assert accuracy is not None  # `from_results` refuses results without one
        return accuracy

    def value(self, metric: str) -> float | None:
        """Return a metric's value, where it is known."""
        score = self.scores.get(metric)
        return score.value if score else None

    def interval(self, metric: str) -> tuple[float, float] | None:
        """Return the ends of a metric's 95 % interval, where they are known."""
        score = self.scores.get(metric)
        return score.interval if score else None

    def cells(self) -> dict[str, Any]:
        """Return the row as the columns of the CSV: `FIRST_COLUMNS`, then `added_columns`."""
        by_column: dict[str, Any] = {name: getattr(self, name) for name in ("model", *FACTS, "remarks", *GROUPS)}
        for name, score in self.scores.items():
            by_column |= {name: score.value, f"{name}_low": score.low, f"{name}_high": score.high}
        of_groups = GROUPS if self.n_groups is not None else ()
        return {name: by_column.get(name) for name in (*FIRST_COLUMNS, *added_columns(), *of_groups)}

    @property
    def tested(self) -> str:
        """The test photos in words, with their independent groups where they are in groups."""
        return photos_in_words(self.n_test, self.n_groups, self.design_effect, "test photos")

    @property
    def error(self) -> float | None:
        """The standard error of the accuracy; None where photos are in groups, whose interval says more."""
        return standard_error(self.accuracy, self.n_test) if self.n_groups is None else None


def between(judged: Row | Results) -> str:
    """Say the accuracy and its interval, where known: '86.3 % (82.9 to 89.6)'."""
    row = judged if isinstance(judged, Row) else Row.from_results(judged)
    ends = METRICS["accuracy"].ends_in_words(row.interval("accuracy"))
    return percent(row.accuracy) + (f" ({ends})" if ends else "")
