"""Whether a model is as often right as it says, and the temperature that mends it.

Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks, ICML 2017 (arXiv:1706.04599).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.evaluation.metrics.weighted import photo_losses
from matlens.evaluation.predictions import Predictions
from matlens.types import Floats, Labels

N_BINS = 15
COLDEST, HOTTEST = 0.05, 20.0
"""The range of temperatures that are tried."""
_SMALLEST = 1e-30
"""Below what float32 softmax gives for anything but 0."""


@dataclass(frozen=True)
class Bin:
    """Photos whose confidence lies in (low, high], their number, mean confidence and accuracy (None of no photo)."""

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """ece: expected calibration error over `bins`, in [0, 1]. log_loss (nats) and brier: means over photos.

    temperature: fitted on `n_validation` photos; None without them, and `remark` says why. The fields with `_after` are
    of probabilities at this temperature, on the photos that the others are of.
    """

    ece: float
    bins: tuple[Bin, ...]
    temperature: float | None = None
    n_validation: int = 0
    ece_after: float | None = None
    bins_after: tuple[Bin, ...] = ()
    log_loss_after: float | None = None
    brier_after: float | None = None
    remark: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the fields; bins as {low, high, n, confidence, accuracy}."""
        return asdict(self)


def reliability(probabilities: npt.ArrayLike, labels: Labels, n_bins: int = N_BINS,
                ) -> tuple[float, tuple[Bin, ...]]:
    """Compute the expected calibration error, and its bins of equal width over the confidence.

    The confidence is a row's largest probability. ECE is the mean over photos of |accuracy - mean confidence| of their
    bin (Guo et al., equation 5).
    """
    rows = np.asarray(probabilities, dtype=np.float64)
    confidence, right = rows.max(axis=1), rows.argmax(axis=1) == labels
    edges = np.linspace(0, 1, n_bins + 1)
    number = np.clip(np.searchsorted(edges, confidence, "left") - 1, 0, n_bins - 1)
    bins, error = [], 0.0
    for i in range(n_bins):
        inside = number == i
        n = int(inside.sum())
        mean, share = (float(confidence[inside].mean()), float(right[inside].mean())) if n else (None, None)
        bins.append(Bin(float(edges[i]), float(edges[i + 1]), n, mean, share))
        if mean is not None and share is not None:
            error += n / len(labels) * abs(share - mean)
    return error, tuple(bins)


def at_temperature(probabilities: npt.ArrayLike, temperature: float) -> Floats:
    """Compute softmax(log(p) / T) of each row (N, C).

    Logits differ from log(p) by a constant in each row, which softmax forgets.
    """
    scaled = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), _SMALLEST)) / temperature
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)


def fit_temperature(probabilities: npt.ArrayLike, labels: Labels) -> float | None:
    """Find the temperature in [0.05, 20] of the lowest log loss, which is convex in 1 / T: there is one lowest value.

    Returns None where an end of the range is no worse: the photos do not determine it (all right, worthless answers).
    """
    from scipy.optimize import minimize_scalar

    logits = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), _SMALLEST))
    logits -= np.take_along_axis(logits, labels[:, None], axis=1)  # relative to the true class, which is then 0

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        largest = scaled.max(axis=1)
        return float((largest + np.log(np.exp(scaled - largest[:, None]).sum(axis=1))).mean())

    ends = math.log(COLDEST), math.log(HOTTEST)
    lowest = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-6})
    return math.exp(lowest.x) if lowest.fun < min(map(loss, ends)) - 1e-9 else None


def calibration(predictions: Predictions, validation: Predictions | None, remark: str = "") -> Calibration:
    """Measure how well probabilities fit, and how well they would at the temperature that `validation` gives.

    remark: why there are no validation predictions.
    """
    probabilities, labels = predictions.probabilities, predictions.labels
    error, bins = reliability(probabilities, labels)
    if validation is None:
        return Calibration(error, bins, remark=remark)
    temperature = fit_temperature(validation.probabilities, validation.labels)
    if temperature is None:
        remark = f"The validation photos do not determine a temperature between {COLDEST:g} and {HOTTEST:g}."
        return Calibration(error, bins, remark=remark)
    after = at_temperature(probabilities, temperature)
    error_after, bins_after = reliability(after, labels)
    log_loss, brier = (float(losses.mean()) for losses in photo_losses(after, labels))
    return Calibration(error, bins, temperature, len(validation.labels), error_after, bins_after, log_loss, brier)
