"""Heat maps of feature maps alone, without a model around them."""

from __future__ import annotations

import numpy as np

from matlens.explanation.explainer import GradientMethod
from matlens.explanation.layer_gradients import AtHead, ByFramework
from matlens.explanation.registry import EXPLAINERS
from matlens.models.head import Head, Score


def gradient_method(name: str) -> GradientMethod:
    """A registered method that needs gradients."""
    method = EXPLAINERS[name]
    assert isinstance(method, GradientMethod)
    return method


def heatmaps(features: np.ndarray, head: Head, classes: np.ndarray, method: str = "gradcam", score: Score = "logit",
             ) -> np.ndarray:
    """By the head's gradients, in closed form: (B, h, w, K) to (B, h, w)."""
    return gradient_method(method).heat(AtHead(features, head, head.forward(features), classes, score))


def from_gradients(features: np.ndarray, gradients: np.ndarray, method: str = "gradcam") -> np.ndarray:
    """By gradients that are known."""
    return gradient_method(method).heat(ByFramework(features, gradients))
