"""Metrics of the probabilities; a model of others that answers with other numbers has none of them."""

from __future__ import annotations

import math

from matlens.evaluation.metrics.metric import METRICS, Metric
from matlens.evaluation.metrics.weighted import WeightedPhotos
from matlens.types import Floats


def log_loss(photos: WeightedPhotos) -> Floats | None:
    """Mean of -log of the true class's probability, in nats."""
    return photos.mean(losses[0]) if (losses := photos.photos.losses) else None


def brier(photos: WeightedPhotos) -> Floats | None:
    """Mean of the squared distance of the probabilities from the truth, over all classes."""
    return photos.mean(losses[1]) if (losses := photos.photos.losses) else None


METRICS.register(Metric(
    "log_loss", "log loss", "mean of -log of the true class's probability, in nats; one below 1.2e-7 counts as 1.2e-7",
    bounds=(0, math.inf), better="low", key="log_loss", rank=15, weighted=log_loss,
    of_classes=False))
METRICS.register(Metric(
    "brier", "Brier score", "mean of the squared distance of the probabilities from the truth, over all classes",
    bounds=(0, 2), better="low", source="Brier 1950", key="brier", rank=16, weighted=brier,
    of_classes=False, poor=0.5, tolerance=2.1e-3))  # rows of probabilities add up to 1 within 1e-3
METRICS.register(Metric(
    "ece", "ECE", "expected calibration error: by how much confidence and accuracy differ, in 15 bins", better="low",
    as_percent=True, source="Guo et al. 2017", key="calibration.ece", rank=17))
METRICS.register(Metric(
    "temperature", "temperature", "what the logits are divided by to calibrate the probabilities; 1 leaves nothing to "
    "mend", bounds=(0, math.inf), better=None, source="Guo et al. 2017", key="calibration.temperature", rank=18))
