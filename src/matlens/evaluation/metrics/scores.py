"""All that follows from saved predictions: the figures of `<name>_results.json`, each with its interval."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from matlens.evaluation.intervals import Interval, bootstrap, wilson
from matlens.evaluation.material_groups import MaterialGroups
from matlens.evaluation.metrics.calibration import calibration
from matlens.evaluation.metrics.classification import (
    compute_classification_metrics,
    compute_confusion_matrix,
    compute_roc_curves,
    confused_pairs,
)
from matlens.evaluation.metrics.coverage import coverage
from matlens.evaluation.metrics.weighted import TOP, WeightedScores, are_probabilities
from matlens.evaluation.predictions import Predictions
from matlens.types import Floats


def scores(predictions: Predictions, class_names: tuple[str, ...], *, groups: MaterialGroups | None = None,
           validation: Predictions | None = None, no_validation: str = "") -> dict[str, Any]:
    """The fields of Results that follow from predictions alone.

    What needs probabilities (log loss, Brier, calibration) is None where a model of others answers with other numbers.

    Args:
        groups: of materials that are alike; by default MINC-2500's for its classes.
        validation: predictions of the validation part, for a temperature; `no_validation` says why there are none.
    """
    weighted = WeightedScores(predictions.probabilities, predictions.labels)
    values = {name: _known(value) for name, value in weighted(np.ones((weighted.n_photos, 1))).items() if name != "f1"}
    roc = compute_roc_curves(predictions.labels, predictions.probabilities, class_names)
    matrix = compute_confusion_matrix(predictions.labels, predictions.predicted, class_names)
    judged = compute_classification_metrics(predictions.labels, predictions.predicted, class_names)
    groups = groups or MaterialGroups.known(class_names)
    calibrated = None
    if all(are_probabilities(each.probabilities) for each in (predictions, validation) if each):
        calibrated = calibration(predictions, validation, no_validation).to_json()
    return {
        **judged,
        "confusion_matrix": matrix.tolist(),
        "confused_pairs": confused_pairs(matrix, class_names),
        "roc_auc": {"per_class": {name: curve["auc"] for name, curve in roc["per_class"].items()},
                    "micro": roc["micro"]["auc"], "macro": roc["macro"]["auc"]},
        "mean_class_accuracy": values["mean_class_accuracy"],
        "balanced_accuracy": values["mean_class_accuracy"],
        "top_k": {str(k): values.get(f"top_{k}") for k in TOP},
        "cohen_kappa": values["cohen_kappa"],
        "log_loss": values.get("log_loss"),
        "brier": values.get("brier"),
        "calibration": calibrated,
        "coverage": coverage(predictions.probabilities, predictions.labels).to_json(),
        "groups": groups.scores(predictions) if groups else None,
        "intervals": _intervals(weighted, matrix, class_names),
        "class_names": class_names,
        "n_test": len(predictions.labels),
    }


def _known(value: Floats) -> float | None:
    return float(value[0]) if math.isfinite(value[0]) else None


def _intervals(weighted: WeightedScores, matrix: Any, class_names: tuple[str, ...]) -> dict[str, Any]:
    """{score: interval or None, per_class: {class: {precision, recall, f1}}}: a class's shares have Wilson's."""
    found = bootstrap(weighted)
    of_classes = found.pop("f1")
    assert isinstance(of_classes, list)
    found["balanced_accuracy"] = found["mean_class_accuracy"]
    hits, support, answered = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    found["accuracy_wilson"] = wilson(int(hits.sum()), int(support.sum()))

    def json_of(interval: Any) -> dict[str, Any] | None:
        return interval.to_json() if isinstance(interval, Interval) else None

    return {**{name: json_of(interval) for name, interval in found.items()}, "per_class": {
        name: {"precision": json_of(wilson(int(hits[i]), int(answered[i]))),
               "recall": json_of(wilson(int(hits[i]), int(support[i]))), "f1": json_of(of_classes[i])}
        for i, name in enumerate(class_names)}}
