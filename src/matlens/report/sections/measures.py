"""The figures of one model as its tab shows them: measures with their intervals, calibration, abstention, classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matlens.evaluation.metrics.coverage import supported
from matlens.evaluation.metrics.metric import METRICS, Metric
from matlens.evaluation.results import Results
from matlens.report.words import ends, percent, percents, score_ends, score_value
from matlens.system.console import listed


@dataclass(frozen=True)
class Measure:
    """A line of the table of measures: value and interval in words, and what is best."""

    name: str
    value: str
    interval: str
    meaning: str


@dataclass(frozen=True)
class ClassScore:
    """One class's scores with their intervals; a sorting table reads the values."""

    name: str
    scores: tuple[tuple[float | None, str], ...]
    support: int


@dataclass(frozen=True)
class Calibrated:
    """A measure of the probabilities as trained, and by the calibration that was chosen."""

    name: str
    before: str
    after: str


_MEAN_RECALL = ("macro_recall", "mean_class_accuracy", "balanced_accuracy")
"""Three names of one number, where each class has a test photo: the mean over classes of the recall."""


def same_as_others(results: Results) -> frozenset[str]:
    """Name the metrics whose number has another name already: the mean recall, and of classes of one size accuracy."""
    support = {score["support"] for score in results.per_class.values()}
    if not support or not min(support):
        return frozenset()
    return frozenset(_MEAN_RECALL if len(support) == 1 else _MEAN_RECALL[1:])


def measures(results: Results) -> tuple[Measure, ...]:
    """Put every metric that the model was judged by into words.

    Those without a value (top-5 of few classes) are left out, and a number that has several names stands under one.
    """
    same = same_as_others(results)
    scores = ((metric, results.scores.get(metric.name)) for metric in METRICS.entries() if metric.name not in same)
    return tuple(Measure(metric.heading, score_value(score.value, metric), score_ends(score.interval, metric),
                         _meaning(metric) + _other_names(metric.name, same))
                 for metric, score in scores if score and score.value is not None)


def _other_names(name: str, same: frozenset[str]) -> str:
    """Say which other metrics are the same number."""
    if same and name == ("accuracy" if "macro_recall" in same else "macro_recall"):
        others = [METRICS[other].title for other in _MEAN_RECALL if other in same]
        return f"; {listed(others)} {'is' if len(others) == 1 else 'are'} the same number here"
    return ""


def _meaning(metric: Metric) -> str:
    """Say what a metric means, and which value is best where that is not 100 %."""
    best = metric.best
    hint = "" if best is None or (metric.as_percent and metric.better == "high") else f"{best:g} is best"
    return "; ".join(filter(None, (metric.meaning, hint)))


def calibrated(results: Results) -> tuple[Calibrated, ...]:
    """Say what the calibration changes; nothing where none was chosen."""
    calibration = results.calibration or {}
    if calibration.get("ece_after") is None:
        return ()
    before = {"ece": calibration["ece"], "log_loss": results.log_loss, "brier": results.brier}
    if calibration.get("accuracy_after") not in (None, results.accuracy):  # a temperature changes no answer
        before["accuracy"] = results.accuracy
    return tuple(Calibrated(METRICS[name].heading, score_value(value, METRICS[name]),
                            score_value(calibration.get(f"{name}_after"), METRICS[name]))
                 for name, value in before.items())


def answered(results: Results) -> tuple[tuple[str, str], ...]:
    """List (accuracy asked for, share of photos that can be answered with it), of the coverage curve."""
    at = supported((results.coverage or {}).get("coverage_at") or {}, results.n_test)
    return tuple((f"{target:.0%}".replace("%", "\u00a0%"),
                  "no share of photos" if share is None else f"{percent(share)} of photos")
                 for target, share in at.items())


def class_scores(results: Results) -> tuple[ClassScore, ...]:
    """List recall, precision, F1 and AUC of each class, in the order of the results."""
    of_classes: Mapping[str, Any] = results.intervals.get("per_class") or {}
    auc = results.roc_auc.get("per_class") or {}
    return tuple(ClassScore(
        name, (*((score[key], percents(ends((of_classes.get(name) or {}).get(key))))
                 for key in ("recall", "precision", "f1")), (auc.get(name), "")), int(score["support"]))
        for name, score in results.per_class.items())
