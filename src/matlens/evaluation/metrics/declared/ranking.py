"""Metrics of the order in which a model puts classes and photos."""

from __future__ import annotations

import numpy as np

from matlens.evaluation.metrics.metric import METRICS, Metric
from matlens.evaluation.metrics.weighted import WeightedPhotos
from matlens.types import Floats


def macro_auc(photos: WeightedPhotos) -> Floats:
    """Mean AUC over the classes that have one."""
    return photos.mean_over(np.nan_to_num(photos.auc), ~np.isnan(photos.auc))


def top(photos: WeightedPhotos, k: int) -> Floats | None:
    """Share of photos whose true class is among the first k; None where there are no more classes than that."""
    return photos.mean(photos.photos.rank < k) if k < photos.photos.n_classes else None


METRICS.register(Metric(
    "macro_auc", "macro AUC", "area under the ROC curve of a class against the rest, mean over classes",
    as_percent=True, table="main", key="roc_auc.macro", interval_key="roc_auc_macro", rank=5, weighted=macro_auc,
    poor=0.75))
METRICS.register(Metric(
    "top_3", "top-3 accuracy", "the true class is among the three most probable", as_percent=True, key="top_k.3",
    rank=12, weighted=lambda photos: top(photos, 3), of_classes=False))
METRICS.register(Metric(
    "top_5", "top-5 accuracy", "the true class is among the five most probable", as_percent=True, key="top_k.5",
    rank=13, weighted=lambda photos: top(photos, 5), of_classes=False))
METRICS.register(Metric(
    "aurc", "AURC", "area under the risk-coverage curve: mean error rate among the k surest photos, over all k",
    better="low", source="Geifman and El-Yaniv 2017", key="coverage.aurc", rank=19))
