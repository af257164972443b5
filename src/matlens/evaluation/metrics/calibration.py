"""Whether a model is as often right as it says, before and after what mends it.

Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks, ICML 2017 (arXiv:1706.04599).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.evaluation.metrics.calibrators import Candidate, choose_calibrator
from matlens.evaluation.metrics.weighted import photo_losses
from matlens.evaluation.predictions import Predictions
from matlens.features.calibrator import Calibrator
from matlens.types import Labels

N_BINS = 15


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

    candidates: what was judged on `n_validation` photos in `n_groups` independent groups (`calibrators`). calibrator:
    what was chosen among them; None without it, and `remark` says why. temperature: its own; None of vector scaling.
    The fields with `_after` are of calibrated probabilities, on the photos that the others are of.
    """

    ece: float
    bins: tuple[Bin, ...]
    temperature: float | None = None
    n_validation: int = 0
    ece_after: float | None = None
    bins_after: tuple[Bin, ...] = ()
    log_loss_after: float | None = None
    brier_after: float | None = None
    accuracy_after: float | None = None
    n_groups: int = 0
    candidates: tuple[Candidate, ...] = ()
    calibrator: Calibrator | None = None
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


def calibration(predictions: Predictions, validation: Predictions | None, remark: str = "") -> Calibration:
    """Measure how well probabilities fit, and how well they would by the calibration that `validation` gives.

    remark: why there are no validation predictions.
    """
    probabilities, labels = predictions.probabilities, predictions.labels
    error, bins = reliability(probabilities, labels)
    if validation is None:
        return Calibration(error, bins, remark=remark)
    choice = choose_calibrator(validation)
    before = Calibration(error, bins, n_validation=len(validation.labels), n_groups=len(np.unique(validation.groups)),
                         candidates=choice.candidates, remark=choice.remark)
    if choice.calibrator is None:
        return before
    after = choice.calibrator.apply(probabilities)
    error_after, bins_after = reliability(after, labels)
    log_loss, brier = (float(losses.mean()) for losses in photo_losses(after, labels))
    return replace(before, temperature=choice.calibrator.temperature, calibrator=choice.calibrator,
                   ece_after=error_after, bins_after=bins_after, log_loss_after=log_loss, brier_after=brier,
                   accuracy_after=float((after.argmax(axis=1) == labels).mean()))


def title_of(calibration: Mapping[str, Any]) -> str:
    """Name the calibration of a results file, of this version or an earlier one: "temperature 1.32", or ""."""
    if calibration.get("calibrator"):
        return Calibrator.from_json(calibration["calibrator"]).title
    temperature = calibration.get("temperature")
    return "" if temperature is None else f"temperature {temperature:.2f}"


def in_words(calibration: Mapping[str, Any]) -> str:
    """Say which calibration was chosen, among how many, and what it gains out of fold, or why there is none.

    calibration: that of a results file, which may be of an earlier version.
    """
    candidates = calibration.get("candidates") or ()
    gains = {each["method"]: f"{each['gain']:+.3f} ± {each['error']:.3f}" for each in candidates}
    photos, groups = calibration.get("n_validation") or 0, calibration.get("n_groups") or 0
    judged = f"{photos:,} validation photos" + (f" in {groups:,} independent groups" if 0 < groups < photos else "")
    title = title_of(calibration)
    if calibration.get("calibrator"):
        gain = gains.get(calibration["calibrator"]["method"])
        return (f"calibration: {title}, chosen among {len(gains) + 1} (none, {', '.join(gains)}) on {judged}; "
                f"it lowers the log loss of photos that it was not fitted on by {gain} nats")
    if title:
        return f"calibration: {title}, fitted on {judged}"
    told = "; ".join(f"{method} would gain {gain} nats" for method, gain in gains.items())
    return f"calibration: none. {calibration.get('remark') or ''}" + (f" On {judged}, {told}." if told else "")
