"""How sure a score is whose trainings had splits of their own: the folds of a cross-validation, or official splits.

Such trainings share photos, so their scores are not independent, and no estimate of the variance of their mean is free
of bias (Bengio and Grandvalet 2004). Two answers remain. Each photo is judged once, so models are compared photo by
photo over all folds together. And Nadeau and Bengio's correction widens what the spread of folds would say.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np

from matlens.errors import ResultsError
from matlens.evaluation.inference.groups import Groups, t_quantile
from matlens.evaluation.intervals import CONFIDENCE
from matlens.evaluation.predictions import Predictions


def corrected_error(values: Sequence[float], test_per_train: float) -> float | None:
    """Return the standard error of the mean over splits: sqrt((1 / k + n_test / n_train) s^2).

    Nadeau and Bengio 2003 (doi:10.1023/A:1024068626366): two trainings' scores correlate by about n_test / (n_test +
    n_train), the share that the test part has of all photos. A heuristic. None of one value.
    """
    if len(values) < 2:
        return None
    return math.sqrt((1 / len(values) + test_per_train) * statistics.variance(values))


def corrected_interval(values: Sequence[float], test_per_train: float, bounds: tuple[float, float] = (0.0, 1.0),
                       confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Return the ends of the interval of the mean with Student's t of k - 1. None where values tell nothing."""
    error, mean = corrected_error(values, test_per_train), float(np.mean(values))
    if not error:
        return None
    half = t_quantile(confidence, len(values) - 1) * error
    return max(mean - half, bounds[0]), min(mean + half, bounds[1])


def corrected_p(differences: Sequence[float], test_per_train: float) -> float:
    """Return the two-sided p of the corrected resampled t test, differences taken split by split.

    1 where all are the same: of how much they would scatter nothing is known then.
    """
    from scipy.special import stdtr

    error = corrected_error(differences, test_per_train)
    return float(2 * stdtr(len(differences) - 1, -abs(float(np.mean(differences))) / error)) if error else 1.0


def pooled(folds: Sequence[Predictions]) -> Predictions:
    """Join the answers of all folds, in which each photo is judged once. A group of photos lies in one fold.

    Raises:
        ResultsError: a photo was judged twice.
    """
    paths = tuple(path for fold in folds for path in fold.paths)
    if len(set(paths)) < len(paths):
        raise ResultsError(f"Photos are in the test parts of several splits ({len(paths) - len(set(paths))} of "
                           f"{len(paths)} answers), so the splits cannot be judged as one.")
    numbers, used = [], 0
    for fold in folds:
        groups = Groups.of(fold.groups)
        numbers.append(groups.of_photo + used)
        used += groups.count
    digests = tuple(digest for fold in folds for digest in fold.digests)
    return Predictions(np.concatenate([fold.probabilities for fold in folds]),
                       np.concatenate([fold.labels for fold in folds]), paths, None,
                       digests if len(digests) == len(paths) else (), np.concatenate(numbers))
