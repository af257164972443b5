"""Metrics of the answers: how many are right, over all photos and over the classes."""

from __future__ import annotations

from matlens.evaluation.intervals import wilson
from matlens.evaluation.metrics.metric import METRICS, Metric
from matlens.evaluation.metrics.weighted import WeightedPhotos, ratio
from matlens.types import Floats


def mean_class_accuracy(photos: WeightedPhotos) -> Floats:
    """Mean recall over the classes that have a photo."""
    return photos.mean_over(photos.recall, photos.present)


def cohen_kappa(photos: WeightedPhotos) -> Floats:
    """(accuracy - chance) / (1 - chance); undefined where chance is always right."""
    chance = ratio((photos.support * photos.answered).sum(axis=0), photos.total**2)
    return ratio(ratio(photos.hits.sum(axis=0), photos.total) - chance, 1 - chance)


METRICS.register(Metric(
    "accuracy", "accuracy", "test photos that are right", as_percent=True, table="main", key="accuracy", rank=1,
    weighted=lambda photos: photos.mean(photos.photos.rank == 0), fallback=wilson,
    of_classes=False))
METRICS.register(Metric(
    "macro_precision", "macro precision", "of a class's answers those that are right, mean over classes",
    as_percent=True, table="main", key="macro_precision", rank=2,
    weighted=lambda photos: photos.mean_over(photos.precision, photos.counted)))
METRICS.register(Metric(
    "macro_recall", "macro recall", "of a class's photos those that are found, mean over classes", as_percent=True,
    table="main", key="macro_recall", rank=3,
    weighted=lambda photos: photos.mean_over(photos.recall, photos.counted)))
METRICS.register(Metric(
    "macro_f1", "macro F1", "harmonic mean of a class's precision and recall, mean over classes", as_percent=True,
    table="main", key="macro_f1", rank=4, weighted=lambda photos: photos.mean_over(photos.f1, photos.counted)))
METRICS.register(Metric(
    "mean_class_accuracy", "mean class accuracy", "mean of the classes' recalls, as papers on MINC report it",
    as_percent=True, source="Bell et al. 2015", key="mean_class_accuracy", rank=11, weighted=mean_class_accuracy))
METRICS.register(Metric(
    "balanced_accuracy", "balanced accuracy", "mean class accuracy by scikit-learn's name", as_percent=True, table=None,
    key="balanced_accuracy", rank=20, weighted=mean_class_accuracy))
METRICS.register(Metric(
    "cohen_kappa", "Cohen's kappa", "agreement beyond what the frequencies of classes and answers give by chance",
    bounds=(-1, 1), source="Cohen 1960", key="cohen_kappa", rank=14, weighted=cohen_kappa, poor=0.5))
