"""The guide's metrics, computed by scikit-learn from labels and probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.evaluation.intervals import Interval, wilson
from matlens.evaluation.labels_and_scores import Given, truth_and_answers, truth_and_scores
from matlens.types import Floats


def compute_classification_metrics(y_true: Given, y_pred: Given, class_names: Sequence[str] | None = None,
                                   ) -> dict[str, Any]:
    """Compute accuracy, per-class and macro precision, recall and F1, and scikit-learn's report as text.

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
    from sklearn.metrics import accuracy_score, classification_report, precision_recall_fscore_support

    truth, predicted, names = truth_and_answers(y_true, y_pred, class_names)
    numbers = list(range(len(names)))
    precision, recall, f1, support = precision_recall_fscore_support(truth, predicted, labels=numbers,
                                                                     zero_division=0)
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "macro_precision": float(precision.mean()),
        "macro_recall": float(recall.mean()),
        "macro_f1": float(f1.mean()),
        "per_class": {name: {"precision": float(precision[i]), "recall": float(recall[i]), "f1": float(f1[i]),
                             "support": int(support[i])} for i, name in enumerate(names)},
        "classification_report": classification_report(truth, predicted, labels=numbers, target_names=names,
                                                       zero_division=0, digits=4),
    }


def compute_confusion_matrix(y_true: Given, y_pred: Given, class_names: Sequence[str] | None = None,
                             normalize: bool = False) -> npt.NDArray[Any]:
    """Compute the matrix (C, C), rows the true classes.

    It holds counts (int64), or with `normalize` each row's fractions (float64). Labels and answers are as in
    `compute_classification_metrics`, and so is what is raised.
    """
    from sklearn.metrics import confusion_matrix

    truth, predicted, names = truth_and_answers(y_true, y_pred, class_names)
    matrix: npt.NDArray[Any] = confusion_matrix(truth, predicted, labels=list(range(len(names))),
                                                normalize="true" if normalize else None)
    return matrix


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
    from sklearn.metrics import auc, roc_curve

    if not 0 < hits.sum() < len(hits):
        return {"fpr": np.zeros(0), "tpr": np.zeros(0), "auc": None}
    fpr, tpr, _ = roc_curve(hits, scores)
    return {"fpr": fpr, "tpr": tpr, "auc": float(auc(fpr, tpr))}


def _macro(per_class: dict[str, dict[str, Any]]) -> dict[str, Any]:
    curves = [curve for curve in per_class.values() if curve["auc"] is not None]
    if not curves:
        return {"fpr": np.zeros(0), "tpr": np.zeros(0), "auc": None}
    fpr = np.unique(np.concatenate([curve["fpr"] for curve in curves]))
    tpr = np.mean([np.interp(fpr, curve["fpr"], curve["tpr"]) for curve in curves], axis=0)
    return {"fpr": fpr, "tpr": tpr, "auc": float(np.mean([curve["auc"] for curve in curves]))}
