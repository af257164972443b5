"""Heat maps in closed form: where in a photo a class score comes from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from matlens.explanation.methods import METHODS, MethodName, weighted
from matlens.models.head import Head, Score
from matlens.types import Array


def heatmaps(features: Array, head: Head, classes: npt.NDArray[np.int64], values: list[Array] | None = None,
             method: MethodName = "gradcam", score: Score = "logit") -> Array:
    """Heat maps of one class each.

    The layer is the trunk's output after its activation, so the gradient of a score there is the head's. What speaks
    against the class is cut off.

    Args:
        features: (B, h, w, K) the trunk's feature maps.
        classes: (B,) the class to explain, for each photo.
        values: what `head.forward(features)` gave, where it is known already.
        method: Grad-CAM, or another of `explanation.methods`.
        score: the class logit, or the probability: then what speaks for other classes speaks against this one.
            Grad-CAM++ is defined here for logits alone.

    Returns:
        (B, h, w) float32 in [0, 1], the largest value of each map 1; all 0 where nothing speaks for the class.
    """
    _, height, width, channels = features.shape
    values = values or head.forward(features)
    if method != "gradcam":
        return from_gradients(features, head.gradients(values, classes, features, score), method)
    means = head.channel_gradients(values, classes, channels, score) / np.float32(height * width)
    return _scaled(weighted(features, means))


def from_gradients(features: Array, gradients: Array, method: MethodName = "gradcam") -> Array:
    """The same from feature maps and the score's gradients there, both (B, h, w, K)."""
    return _scaled(METHODS[method](features, gradients))


def _scaled(evidence: Array) -> Array:
    maps = np.maximum(evidence, 0)
    peaks = maps.max(axis=(1, 2), keepdims=True)
    return np.asarray(np.divide(maps, peaks, out=np.zeros_like(maps), where=peaks > 0), dtype=np.float32)


def overlay_heatmap(heatmap: Array, image: npt.NDArray[np.float32] | npt.NDArray[np.uint8], alpha: float = 0.4,
                    ) -> npt.NDArray[np.uint8]:
    """Lay a heat map over a photo.

    Args:
        heatmap: (h, w) in [0, 1]; resized to the photo.
        image: (H, W, 3) float in [0, 1], or uint8.
        alpha: the share of the heat map's colours.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    import cv2

    photo = np.asarray(image)
    if photo.dtype != np.uint8:
        photo = (np.clip(photo, 0, 1) * 255).round().astype(np.uint8)
    height, width = photo.shape[:2]
    large = cv2.resize(np.asarray(heatmap, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    level = (np.clip(large, 0, 1) * 255).round().astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
    mixed = (1 - alpha) * photo.astype(np.float32) + alpha * colours.astype(np.float32)
    return np.asarray(mixed.round(), dtype=np.uint8)
