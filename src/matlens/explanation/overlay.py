"""Lay a heat map over a photo, in the colours of the notebook guide, or in those of a run's pictures and galleries."""

from __future__ import annotations

import numpy as np

from matlens.data.pixels.values import as_pixels
from matlens.types import Array, Pixels

_OPACITY = 0.75


def overlay_heatmap(heatmap: Array, image: Array | Pixels, alpha: float = 0.4) -> Pixels:
    """Lay a heat map over a photo, in colours from blue (cold) to red (warm).

    Args:
        heatmap: (h, w) in [0, 1]; it is resized to the photo.
        image: (H, W, 3) float in [0, 1], or uint8.
        alpha: the share of the heat map's colours.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    import cv2

    photo = np.asarray(image)
    if photo.dtype != np.uint8:
        photo = as_pixels(np.clip(photo, 0, 1))
    height, width = photo.shape[:2]
    large = cv2.resize(np.asarray(heatmap, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    level = (np.clip(large, 0, 1) * 255).round().astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
    mixed = (1 - alpha) * photo.astype(np.float32) + alpha * colours.astype(np.float32)
    return np.asarray(mixed.round(), dtype=np.uint8)


def glow(heat: Array) -> Pixels:
    """Colour a heat map (h, w) in [0, 1]: (h, w, 4) uint8 RGBA, dark to bright, the colder the more transparent.

    A cold place shows the photo as it is. The colours tell warm from cold without hue, too.
    """
    import cv2

    level = (np.clip(heat, 0, 1) * 255).round().astype(np.uint8)
    coloured = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return np.asarray(np.dstack([coloured, (level * _OPACITY).round().astype(np.uint8)]), dtype=np.uint8)


def lay_glow(heat: Array, photo: Pixels) -> Pixels:
    """Lay a heat map (h, w) in [0, 1] over a photo (H, W, 3), as galleries show it: (H, W, 3) uint8 RGB."""
    import cv2

    height, width = photo.shape[:2]
    colours = glow(cv2.resize(np.asarray(heat, np.float32), (width, height), interpolation=cv2.INTER_LINEAR))
    share = colours[..., 3:].astype(np.float32) / 255
    return np.asarray(((1 - share) * photo + share * colours[..., :3]).round(), dtype=np.uint8)
