"""What abstaining buys: the accuracy on the photos that a model is surest of, against their share of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.evaluation.labels_and_scores import truth_and_columns
from matlens.types import Labels

MOST_POINTS = 200
TARGETS = (0.9, 0.95, 0.99)


@dataclass(frozen=True)
class CoveragePoint:
    """Answering only from the confidence `threshold` on: the share of photos answered, and the accuracy on them."""

    coverage: float
    accuracy: float
    threshold: float


@dataclass(frozen=True)
class Coverage:
    """The coverage-accuracy curve, from the surest photos to all; photos of equal confidence come together.

    aurc: area under the risk-coverage curve, the mean over k of the error rate among the k surest photos (Geifman and
        El-Yaniv 2017, arXiv:1705.08500); 0 is best. Photos of equal confidence count as in random order.
    excess_aurc: how much of it a perfect order of the same answers would save (Geifman et al. 2019, arXiv:1805.08206).
    coverage_at: largest share of photos that can be answered with at least so much accuracy; None where no share can.
    """

    aurc: float
    excess_aurc: float
    coverage_at: dict[str, float | None]
    curve: tuple[CoveragePoint, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields; points as {coverage, accuracy, threshold}."""
        return asdict(self)


def supported(coverage_at: Mapping[str, float | None], n: int) -> dict[float, float | None]:
    """Return the shares by the accuracy asked for, without those that too few photos tell of.

    Answers of which 99 % are right are known from 100 photos on: of fewer, all would have to be.

    Args:
        coverage_at: as in `Coverage`.
        n: the number of photos.
    """
    return {float(target): share for target, share in coverage_at.items()
            if (n if share is None else share * n) * (1 - float(target)) > 1 - 1e-9}


def coverage(probabilities: npt.ArrayLike, labels: Labels) -> Coverage:
    """Compute the curve of probabilities (N, C) and class numbers (N,).

    The confidence of a photo is its row's largest probability. Raises LabelsError for what `labels_and_scores` refuses.
    """
    labels, rows = truth_and_columns(labels, probabilities)
    confidence, wrong = rows.max(axis=1), rows.argmax(axis=1) != labels
    order = np.argsort(-confidence, kind="stable")
    confidence, n = confidence[order], len(labels)
    wrong_before = np.concatenate([[0], np.cumsum(wrong[order])])
    ends = np.append(np.flatnonzero(np.diff(confidence)) + 1, n)  # how many photos each threshold answers
    answered = np.arange(1, n + 1)
    expected = np.interp(answered, np.append(0, ends), wrong_before[np.append(0, ends)])  # in the mean of all orders
    aurc = float((expected / answered).mean())
    best = float((np.maximum(answered - (n - wrong.sum()), 0) / answered).mean())
    accuracy = 1 - wrong_before[ends] / ends
    targets = {f"{target:g}": max((float(end) / n for end, share in zip(ends, accuracy, strict=True)
                                   if share >= target), default=None) for target in TARGETS}
    shown = np.unique(np.linspace(0, len(ends) - 1, min(len(ends), MOST_POINTS)).round().astype(int))
    return Coverage(aurc, aurc - best, targets, tuple(
        CoveragePoint(float(ends[i]) / n, float(accuracy[i]), float(confidence[ends[i] - 1])) for i in shown))
