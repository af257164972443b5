"""Choose what calibrates a model's probabilities: nothing, a temperature or vector scaling, judged out of fold.

Candidates are fitted on four fifths of the validation photos and judged on the last, five times; photos of one group
stay together. The simpler one is kept unless the other's log loss is lower by more than the difference's standard error
(Breiman, Friedman, Olshen, Stone 1984). What is chosen is then fitted on all validation photos.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from matlens.evaluation.inference.groups import Groups, mean_scatter
from matlens.evaluation.metrics.weighted import photo_losses
from matlens.evaluation.predictions import Predictions
from matlens.features.calibrator import SMALLEST, CalibrationMethod, Calibrator, softmax_of
from matlens.types import Floats, Labels

COLDEST, HOTTEST = 0.05, 20.0
"""The range of temperatures that are tried."""

FEWEST_PHOTOS, FEWEST_GROUPS, FOLDS = 50, 10, 5
"""Of fewer validation photos, or independent groups of them, nothing is fitted."""

FEWEST_OF_A_CLASS = 10
"""Vector scaling takes so many validation photos of each class, in as many groups as there are folds."""

_MOST_SCALED, _MOST_BIASED = 100.0, 100.0

Fit = Callable[[npt.ArrayLike, Labels], Calibrator | None]


@dataclass(frozen=True)
class Candidate:
    """A way to calibrate. gain: by how much it lowers the mean log loss (nats) of validation photos that it was not
    fitted on, beside the network's own probabilities; error: the standard error of the gain, over groups of photos.
    """

    method: CalibrationMethod
    gain: float
    error: float


@dataclass(frozen=True)
class CalibratorChoice:
    """What was chosen among the candidates and the network's own probabilities; `remark` says why it is nothing."""

    calibrator: Calibrator | None
    candidates: tuple[Candidate, ...] = ()
    remark: str = ""


def fit_temperature(probabilities: npt.ArrayLike, labels: Labels) -> Calibrator | None:
    """Find the temperature in [0.05, 20] of the lowest log loss, which is convex in 1 / T: there is one lowest value.

    Returns None where an end of the range is no worse: the photos do not determine it (all right, worthless answers).
    """
    from scipy.optimize import minimize_scalar

    logits = _logs(probabilities)
    classes = logits.shape[1]
    logits = logits - np.take_along_axis(logits, labels[:, None], axis=1)  # relative to the true class, which is then 0

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        largest = scaled.max(axis=1)
        return float((largest + np.log(np.exp(scaled - largest[:, None]).sum(axis=1))).mean())

    ends = math.log(COLDEST), math.log(HOTTEST)
    lowest = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-6})
    return Calibrator.at(math.exp(lowest.x), classes) if lowest.fun < min(map(loss, ends)) - 1e-9 else None


def fit_vector(probabilities: npt.ArrayLike, labels: Labels) -> Calibrator | None:
    """Find a scale and a bias for each class of the lowest log loss, which is convex in them.

    A penalty of (|scale - 1|² + |bias|²) / 2 on the sum of losses, as one photo's word against a change, leaves classes
    as they are where the photos say nothing.
    """
    from scipy.optimize import minimize

    logits, (n, classes) = _logs(probabilities), np.shape(probabilities)
    truth = np.eye(classes)[labels]

    def loss(values: Floats) -> tuple[float, Floats]:
        scale, bias = values[:classes], values[classes:]
        scaled = logits * scale + bias
        likely = softmax_of(scaled)
        wrong = likely - truth
        own = np.take_along_axis(likely, labels[:, None], axis=1)[:, 0]
        change = np.concatenate([scale - 1, bias])
        slope = np.concatenate([(wrong * logits).sum(axis=0), wrong.sum(axis=0)]) + change
        return float(-np.log(np.maximum(own, SMALLEST)).sum() + (change**2).sum() / 2) / n, slope / n

    start = np.concatenate([np.ones(classes), np.zeros(classes)])
    bounds = [(1 / _MOST_SCALED, _MOST_SCALED)] * classes + [(-_MOST_BIASED, _MOST_BIASED)] * classes
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    values = found.x.tolist()
    return Calibrator("vector", tuple(values[:classes]), tuple(values[classes:]))


_FITS: dict[CalibrationMethod, Fit] = {"temperature": fit_temperature, "vector": fit_vector}
"""The candidates, the simplest first."""


def choose_calibrator(validation: Predictions) -> CalibratorChoice:
    """Choose a calibrator by validation photos alone, and fit it on all of them."""
    groups = Groups.of(validation.groups)
    if groups.n_photos < FEWEST_PHOTOS or groups.count < FEWEST_GROUPS:
        return CalibratorChoice(None, remark=(
            f"The validation part is too small: {groups.n_photos} photos in {groups.count} independent groups; a "
            f"calibration takes at least {FEWEST_PHOTOS} in {FEWEST_GROUPS}."))
    fold = _folds(groups.of_photo, validation.labels)
    candidates: list[Candidate] = []
    chosen: CalibrationMethod | None = None
    own = photo_losses(validation.probabilities, validation.labels)[0]
    lowest = own
    for method, fit in _FITS.items():
        is_told = method == "temperature" or _tells_classes(validation)
        losses = _out_of_fold(fit, validation, fold) if is_told else None
        if losses is None:
            continue
        candidates.append(Candidate(method, float((own - losses).mean()), mean_scatter(groups, own - losses)[1]))
        if all((than - losses).mean() > mean_scatter(groups, than - losses)[1] for than in (own, lowest)):
            chosen, lowest = method, losses
    remark = ""
    if "temperature" not in [candidate.method for candidate in candidates]:
        chosen, remark = None, ("The validation photos do not determine a temperature between "
                                f"{COLDEST:g} and {HOTTEST:g}.")
    elif chosen is None:
        remark = "No calibration significantly lowers the log loss of validation photos that it was not fitted on."
    calibrator = _FITS[chosen](validation.probabilities, validation.labels) if chosen else None
    return CalibratorChoice(calibrator, tuple(candidates), remark)


def _logs(probabilities: npt.ArrayLike) -> Floats:
    return np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), SMALLEST))


def _tells_classes(validation: Predictions) -> bool:
    """Return whether there are photos and groups enough of each class to fit something for each."""
    of_class = [validation.groups[validation.labels == number] for number in range(validation.probabilities.shape[1])]
    return all(len(groups) >= FEWEST_OF_A_CLASS and len(np.unique(groups)) >= FOLDS for groups in of_class)


def _folds(groups: Labels, labels: Labels) -> Labels:
    """Give each photo (N,) the fold of its group. Groups are dealt in turn, class by class of their first photos."""
    order = np.random.default_rng(0).permutation(int(groups.max()) + 1)
    first = np.unique(groups, return_index=True)[1]
    dealt = order[np.argsort(labels[first][order], kind="stable")]
    fold = np.empty_like(dealt)
    fold[dealt] = np.arange(len(dealt)) % FOLDS
    return np.asarray(fold[groups], dtype=np.int64)


def _out_of_fold(fit: Fit, validation: Predictions, fold: Labels) -> Floats | None:
    """Compute each photo's log loss (N,) by what the other folds give; None where one of them determines nothing."""
    losses = np.empty(len(fold))
    for number in range(FOLDS):
        left_out = fold == number
        calibrator = fit(validation.probabilities[~left_out], validation.labels[~left_out])
        if calibrator is None:
            return None
        losses[left_out] = photo_losses(calibrator.apply(validation.probabilities[left_out]),
                                        validation.labels[left_out])[0]
    return losses
