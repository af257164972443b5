"""The guide's metrics, from labels and probabilities, as scikit-learn defines them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.evaluation.intervals import Interval, wilson
from matlens.evaluation.labels_and_scores import Given, truth_and_answers, truth_and_scores
from matlens.evaluation.metrics.weighted import ratio
from matlens.types import Floats, Labels

_KINDS = ("precision", "recall", "f1")


def compute_classification_metrics(y_true: Given, y_pred: Given, class_names: Sequence[str] | None = None,
                                   ) -> dict[str, Any]:
    """Compute accuracy, per-class and macro precision, recall and F1, and a report as text, as scikit-learn writes it.

    Every class of `class_names` counts in the macro averages; a score without a photo to divide by is 0.

    Args:
        y_true: class numbers (N,) or (N, 1), class names, or one-hot rows (N, C).
        y_pred: the same, or scores (N, C), or one column (N, 1) of a sigmoid.

    Returns:
        {accuracy, macro_precision, macro_recall, macro_f1, per_class: {name: {precision, recall, f1, support}},
        classification_report}

    Raises:
        LabelsError: labels or answers that are none, or do not fit together (`evaluation.labels_and_scores`).
    """
    truth, predicted, names = truth_and_answers(y_true, y_pred, class_names)
    matrix = _counts(truth, predicted, len(names))
    support, answered, hits = matrix.sum(axis=1), matrix.sum(axis=0), matrix.diagonal()
    scores = np.nan_to_num([ratio(hits, answered), ratio(hits, support), ratio(2 * hits, support + answered)])
    accuracy, macro = float(hits.sum() / len(truth)), scores.mean(axis=1)
    return {
        "accuracy": accuracy,
        **{f"macro_{kind}": float(value) for kind, value in zip(_KINDS, macro, strict=True)},
        "per_class": {name: {**dict(zip(_KINDS, map(float, scores[:, i]), strict=True)), "support": int(support[i])}
                      for i, name in enumerate(names)},
        "classification_report": _report(names, scores, support, accuracy),
    }


def _counts(truth: Labels, predicted: Labels, n_classes: int) -> npt.NDArray[np.int64]:
    """Return how many photos of each class got each answer, (C, C)."""
    counted = np.bincount(truth * n_classes + predicted, minlength=n_classes**2)
    return counted.astype(np.int64).reshape(n_classes, n_classes)


def _report(names: Sequence[str], scores: Floats, support: npt.NDArray[np.int64], accuracy: float) -> str:
    """Write precision, recall and F1 (3, C), their means, and the accuracy, as scikit-learn's report does."""
    width, total = max(len("weighted avg"), *map(len, names)), support.sum()
    means = {"macro avg": scores.mean(axis=1), "weighted avg": scores @ support / total}

    def line(name: str, values: Sequence[str], photos: object) -> str:
        return f"{name:>{width}s} " + "".join(f" {value:>9}" for value in values) + f" {photos:>9}\n"

    def rows(named: Iterable[tuple[str, Floats, Any]]) -> str:
        return "".join(line(name, [f"{value:.4f}" for value in values], photos) for name, values, photos in named)

    return (line("", ["precision", "recall", "f1-score"], "support") + "\n"
            + rows(zip(names, scores.T, support, strict=True)) + "\n"
            + line("accuracy", ["", "", f"{accuracy:.4f}"], total)
            + rows((name, values, total) for name, values in means.items()))


def compute_confusion_matrix(y_true: Given, y_pred: Given, class_names: Sequence[str] | None = None,
                             normalize: bool = False) -> npt.NDArray[Any]:
    """Compute the matrix (C, C), rows the true classes.

    It holds counts (int64), or with `normalize` each row's fractions (float64). Labels and answers are as in
    `compute_classification_metrics`, and so is what is raised.
    """
    truth, predicted, names = truth_and_answers(y_true, y_pred, class_names)
    matrix = _counts(truth, predicted, len(names))
    return np.nan_to_num(ratio(matrix, matrix.sum(axis=1, keepdims=True))) if normalize else matrix


def confused_pairs(matrix: npt.NDArray[Any], class_names: Sequence[str], most: int = 30,
                   interval_of: Callable[[int, int], Interval | None] | None = None) -> list[dict[str, Any]]:
    """List which class was taken for which, the most photos first, as {true, predicted, photos, share, interval}.

    share: of the photos of the true class; interval: of that share, which `interval_of` gives of two class numbers, by
    default Wilson's, of photos that are independent.
    """
    support = matrix.sum(axis=1)
    pairs = sorted(((int(matrix[i, j]), i, j) for i, j in np.argwhere(matrix) if i != j),
                   key=lambda pair: (-pair[0], -pair[0] / support[pair[1]], pair[1:]))
    listed = []
    for photos, i, j in pairs[:most]:
        interval = interval_of(i, j) if interval_of else wilson(photos, int(support[i]))
        listed.append({"true": class_names[i], "predicted": class_names[j], "photos": photos,
                       "share": photos / int(support[i]), "interval": interval.to_json() if interval else None})
    return listed


def compute_roc_curves(y_true: Given, y_prob: Given, class_names: Sequence[str] | None = None) -> dict[str, Any]:
    """Compute one-vs-rest ROC curves.

    Args:
        y_true: as in `compute_classification_metrics`.
        y_prob: (N, C) probabilities, or those of class 1 alone, (N, 1) or (N,).

    Returns:
        {per_class: {name: curve}, micro: curve, macro: curve}, a curve being {fpr (M,), tpr (M,), auc}. A class
        without a photo, or with all photos, has no curve: empty arrays and auc None; it is left out of macro.
        The macro curve averages the classes' true positive rates; its auc is the mean of the classes' AUCs.

    Raises:
        LabelsError: as `compute_classification_metrics`.
    """
    truth, probabilities, names = truth_and_scores(y_true, y_prob, class_names)
    hits = truth[:, None] == np.arange(len(names))
    per_class = {name: _curve(hits[:, number], probabilities[:, number]) for number, name in enumerate(names)}
    return {"per_class": per_class, "micro": _curve(hits.ravel(), probabilities.ravel()), "macro": _macro(per_class)}


def _curve(hits: npt.NDArray[np.bool_], scores: Floats) -> dict[str, Any]:
    """Return the curve's corners: where it goes straight on, places on the line are left out."""
    if not 0 < hits.sum() < len(hits):
        return {"fpr": np.zeros(0), "tpr": np.zeros(0), "auc": None}
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # photos of one score come together
    true = np.cumsum(hits[order])[ends].astype(np.float64)
    false = 1 + ends - true
    turns = np.append(True, (np.diff(false, 2) != 0) | (np.diff(true, 2) != 0))
    corners = np.append(turns, True) if len(ends) > 2 else np.ones(len(ends), np.bool_)
    fpr, tpr = (np.append(0, counted[corners]) / counted[-1] for counted in (false, true))
    return {"fpr": fpr, "tpr": tpr, "auc": float(np.trapezoid(tpr, fpr))}


def _macro(per_class: dict[str, dict[str, Any]]) -> dict[str, Any]:
    curves = [curve for curve in per_class.values() if curve["auc"] is not None]
    if not curves:
        return {"fpr": np.zeros(0), "tpr": np.zeros(0), "auc": None}
    fpr = np.unique(np.concatenate([curve["fpr"] for curve in curves]))
    tpr = np.mean([np.interp(fpr, curve["fpr"], curve["tpr"]) for curve in curves], axis=0)
    return {"fpr": fpr, "tpr": tpr, "auc": float(np.mean([curve["auc"] for curve in curves]))}
