"""All that follows from saved predictions: the figures of `<name>_results.json`, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.errors import MatlensError, ResultsError
from matlens.evaluation.inference.bootstrap import drawn_positions, from_draws, group_bootstrap
from matlens.evaluation.inference.groups import FEWEST, Groups, class_list, design_effect
from matlens.evaluation.intervals import CONFIDENCE, SEED, Interval, share_interval
from matlens.evaluation.labels_and_scores import truth_and_scores
from matlens.evaluation.material_groups import MaterialGroups
from matlens.evaluation.metrics.calibration import calibration
from matlens.evaluation.metrics.classification import (
    compute_classification_metrics,
    compute_confusion_matrix,
    compute_roc_curves,
    confused_pairs,
)
from matlens.evaluation.metrics.coverage import coverage
from matlens.evaluation.metrics.metric import METRICS, Metric
from matlens.evaluation.metrics.stored import MetricValue, scores_in, value_at
from matlens.evaluation.metrics.weighted import PredictedPhotos, WeightedPhotos, are_probabilities
from matlens.evaluation.predictions import Predictions
from matlens.types import Array, Floats, Labels

PLAIN_DRAWS = 500
"""Draws for the interval of a metric that is a plain function: it is called once for each of them."""

_F1 = "F1 of each class"


@dataclass(frozen=True)
class Judgement:
    """What follows from the predictions of a model.

    fields: those of `Results` that follow from predictions alone. roc_curves: as `compute_roc_curves` gives them.
    remarks: what a reader must know of the groups that the photos are in; nothing where each photo stands alone.
    """

    fields: dict[str, Any]
    roc_curves: dict[str, Any]
    remarks: tuple[str, ...] = ()


def judge(predictions: Predictions, class_names: tuple[str, ...], *, groups: MaterialGroups | None = None,
          validation: Predictions | None = None, no_validation: str = "") -> Judgement:
    """Compute every figure of a model from its predictions.

    What needs probabilities (log loss, Brier, calibration) is None where a model of others answers with other numbers.

    Args:
        groups: of materials that are alike; by default MINC-2500's for its classes.
        validation: predictions of the validation part, for a temperature; `no_validation` says why there are none.

    Raises:
        LabelsError: labels or answers that `labels_and_scores` refuses, or of other classes than `class_names`.
        ResultsError: a metric that was added cannot be computed, or gives a value outside of its bounds.
    """
    truth_and_scores(predictions.labels, predictions.probabilities, class_names)
    photos = PredictedPhotos(predictions.probabilities, predictions.labels)
    together = Groups.of(predictions.groups)
    values = weighted_metrics(WeightedPhotos(photos, np.ones((photos.n_photos, 1))))
    of_classes, intervals = _weighted_intervals(photos, values, together)
    plain = {metric.name: _plain_value(metric, predictions) for metric in METRICS.entries() if metric.of}
    intervals |= {name: _plain_interval(METRICS[name], predictions, value, together) for name, value in plain.items()
                  if METRICS[name].has_interval}
    truth, answers = predictions.labels, predictions.predicted
    roc = compute_roc_curves(predictions.labels, predictions.probabilities, class_names)
    matrix = compute_confusion_matrix(predictions.labels, predictions.predicted, class_names)
    groups = groups or MaterialGroups.known(class_names)
    calibrated = None
    if all(are_probabilities(part.probabilities) for part in (predictions, validation) if part):
        calibrated = calibration(predictions, validation, no_validation).to_json()
    fields: dict[str, Any] = {
        **compute_classification_metrics(predictions.labels, predictions.predicted, class_names),
        "confusion_matrix": matrix.tolist(),
        "confused_pairs": confused_pairs(matrix, class_names, interval_of=lambda i, j: share_interval(
            (answers == j)[truth == i], together.rows(truth == i))),
        "roc_auc": {"per_class": {name: curve["auc"] for name, curve in roc["per_class"].items()},
                    "micro": roc["micro"]["auc"], "macro": roc["macro"]["auc"]},
        "calibration": calibrated,
        "coverage": coverage(predictions.probabilities, predictions.labels).to_json(),
        "groups": groups.scores(predictions) if groups else None,
        "intervals": {METRICS[name].interval_key or name: _json_of(interval) for name, interval in intervals.items()}
        | {"accuracy_wilson": _json_of(share_interval(answers == truth, together)),
           "per_class": _of_classes(predictions, together, class_names, of_classes)},
        "class_names": class_names,
        "n_test": len(truth),
        "photos_hash": predictions.photos_hash(class_names),
        **_of_groups(together, answers == truth),
    }
    measured = {name: _known(value) for name, value in values.items()} | plain
    for metric in METRICS.entries():
        if metric.key and value_at(fields, metric.key) is None and (metric.weighted or metric.of):
            _put(fields, metric.key, measured.get(metric.name))
    added = {metric.name: _score(measured.get(metric.name), intervals.get(metric.name))
             for metric in METRICS.entries() if not metric.key}
    fields["scores"] = scores_in({**fields, "scores": added})
    _refuse_impossible(fields["scores"])
    return Judgement(fields, roc, remarks_on_groups(predictions, class_names))


def weighted_metrics(photos: WeightedPhotos) -> dict[str, Floats]:
    """Compute the weighted metrics under each weighting, (B,) by name; those that such answers lack are left out."""
    return {metric.name: value for metric in METRICS.entries() if metric.weighted
            and (value := _weighted_value(metric, photos)) is not None}


def _weighted_value(metric: Metric, photos: WeightedPhotos) -> Floats | None:
    """Call a metric's weighted function. Raises ResultsError where it fails, or gives no number for each weighting."""
    assert metric.weighted is not None
    with _said_of(metric):
        value = metric.weighted(photos)
    if value is not None and np.shape(value) != photos.total.shape:
        raise ResultsError(f"The metric {metric.name} gives values of the shape {np.shape(value)} where one for each "
                           f"weighting is due, {photos.total.shape}. Fix its function.")
    return value


def _weighted_intervals(photos: PredictedPhotos, values: Mapping[str, Floats], together: Groups,
                        ) -> tuple[list[Interval | None], dict[str, Interval | None]]:
    """Compute intervals of the F1 of each class, and of each metric."""
    def statistic(weights: Floats) -> dict[str, Floats]:
        weighted = WeightedPhotos(photos, weights)
        return {**weighted_metrics(weighted), _F1: np.where(weighted.counted, weighted.f1, np.nan)}

    by_name = group_bootstrap(statistic, together, photos.labels,
                              {name: METRICS[name].quantity for name in values})
    of_classes = by_name.pop(_F1)
    intervals = {name: interval for name, (interval,) in by_name.items() if METRICS[name].has_interval}
    for name, interval in intervals.items():
        if interval is None and (fallback := METRICS[name].fallback) and not together.too_few:
            worth = together.worth(CONFIDENCE)
            intervals[name] = fallback(worth * float(values[name][0]), worth)
    return of_classes, intervals


def _plain_value(metric: Metric, predictions: Predictions) -> float | None:
    """Call a metric's plain function. Raises ResultsError where it fails."""
    with _said_of(metric):
        return _called(metric, _read_only(predictions.probabilities), _read_only(predictions.labels))


@contextmanager
def _said_of(metric: Metric) -> Iterator[None]:
    """Raise ResultsError, which names the metric, where its function fails."""
    try:
        yield
    except MatlensError:
        raise
    except Exception as error:
        raise ResultsError(f"The metric {metric.name} cannot be computed ({type(error).__name__}: {error}). Fix its "
                           "function, or take its file out of MATLENS_PLUGINS.") from error


def _plain_interval(metric: Metric, predictions: Predictions, value: float | None, together: Groups,
                    ) -> Interval | None:
    """Compute the interval of percentiles over PLAIN_DRAWS draws of the photos, or as `group_bootstrap` does."""
    if value is None:
        return None

    def of(positions: Labels) -> float:
        try:
            drawn = _called(metric, predictions.probabilities[positions], predictions.labels[positions])
        except ValueError:  # scikit-learn's way to say that a draw lacks a class that the score needs
            drawn = None
        return math.nan if drawn is None else drawn

    if together.are_single:
        rng, n = np.random.default_rng(SEED), len(predictions.labels)
        return from_draws(np.array([of(drawn_positions(n, 1, rng)[0]) for _ in range(PLAIN_DRAWS)]), value)
    by_name = group_bootstrap(
        lambda weights: {metric.name: np.array([of(np.repeat(np.arange(len(column)), column.astype(np.int64)))
                                                for column in weights.T])},
        together, predictions.labels, {metric.name: metric.quantity}, draws=PLAIN_DRAWS)
    return by_name[metric.name][0]


def _read_only(array: Any) -> Any:
    """Return an array that a metric cannot write to: those that follow are computed from the same numbers."""
    view = array.view()
    view.flags.writeable = False
    return view


def _called(metric: Metric, probabilities: Array, labels: Labels) -> float | None:
    assert metric.of is not None
    value = metric.of(probabilities, labels)
    return float(value) if value is not None and math.isfinite(value) else None


def _score(value: float | None, interval: Interval | None) -> MetricValue:
    return MetricValue(value, interval.low, interval.high) if interval else MetricValue(value)


def _refuse_impossible(scores: Mapping[str, MetricValue]) -> None:
    for metric in METRICS.entries():
        value = scores[metric.name].value
        if value is not None and not metric.holds(value):
            raise ResultsError(f"The metric {metric.name} gives {value}, which is not between its bounds "
                               f"{metric.bounds[0]:g} and {metric.bounds[1]:g}. Fix its declaration.")


def _put(fields: dict[str, Any], key: str, value: float | None) -> None:
    *above, last = key.split(".")
    inner = fields
    for word in above:
        inner = inner.setdefault(word, {})
    inner[last] = value


def _known(value: Floats) -> float | None:
    return float(value[0]) if math.isfinite(value[0]) else None


def _json_of(interval: Interval | None) -> dict[str, Any] | None:
    return interval.to_json() if interval else None


def _of_classes(predictions: Predictions, together: Groups, class_names: tuple[str, ...],
                of_f1: list[Interval | None]) -> dict[str, Any]:
    """{class: {precision, recall, f1}}: the shares have Wilson's intervals, F1 the bootstrap's."""
    truth, answers = predictions.labels, predictions.predicted
    right = truth == answers

    def share(chosen: npt.NDArray[np.bool_]) -> dict[str, Any] | None:
        return _json_of(share_interval(right[chosen], together.rows(chosen)))

    return {name: {"precision": share(answers == i), "recall": share(truth == i), "f1": _json_of(of_f1[i])}
            for i, name in enumerate(class_names)}


def _of_groups(together: Groups, right: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return the number of independent groups and the accuracy's design effect; nothing of single photos."""
    if together.are_single:
        return {}
    return {"n_groups": together.count, "design_effect": design_effect(together, right)}


def remarks_on_groups(predictions: Predictions, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """Say what a reader of the figures must know of the groups that the photos are in; nothing of single photos."""
    together, truth = Groups.of(predictions.groups), predictions.labels
    if together.are_single:
        return ()
    photos = together.in_words(design_effect(together, truth == predictions.predicted))
    remarks = [f"The test part has {photos}; intervals and tests go by groups."]
    if together.too_few:
        remarks.append(f"Fewer than {FEWEST} independent groups do not tell how far a score could be off, so no score "
                       "has an interval. Test on photos of more groups.")
    elif alone := together.in_one_group(truth):
        remarks.append(f"All test photos of {class_list(class_names, alone)} are of one group, so what is due to the "
                       "class and what to the group cannot be told apart: scores of these classes, and means over "
                       "classes, have no interval. The interval of accuracy is that over groups drawn as these were, "
                       "with their classes.")
    return tuple(remarks)
