"""Ways from feature maps and a score's gradients there to a heat map. Each is a function; a new one needs a line below.

Where the trunk ends in a global average, gradients are the same at all places: HiResCAM then is Grad-CAM. They differ
behind VGG19's flattening, and at earlier layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np

from matlens.types import Array

Method = Callable[[Array, Array], Array]
"""(features (B, h, w, K), gradients (B, h, w, K)) to evidence (B, h, w): above 0 for the score, below 0 against it."""

MethodName = Literal["gradcam", "gradcam++", "hirescam"]


def grad_cam(features: Array, gradients: Array) -> Array:
    """Each channel counts by its mean gradient (Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74)."""
    return weighted(features, gradients.mean(axis=(1, 2)))


def grad_cam_plus_plus(features: Array, gradients: Array) -> Array:
    """Each channel counts by its rising gradients (Chattopadhyay et al. 2018, doi:10.1109/WACV.2018.00097).

    Of the exponential of a score S that is piecewise linear in the feature map, as all heads here are, the second and
    third derivatives are exp(S) g^2 and exp(S) g^3. Their equation 19 so becomes, for a gradient g > 0,
    alpha = g^2 / (2 g^2 + sum(A) g^3) = 1 / (2 + g sum(A)), with sum(A) over the channel's places.
    The factor exp(S), the same everywhere, is left out.
    """
    rising = np.maximum(gradients, 0)
    below = 2 + rising * features.sum(axis=(1, 2), keepdims=True)
    # Only a channel with negative values, so one before an activation, has sums that turn the sign: it is left out.
    return weighted(features, np.divide(rising, below, out=np.zeros_like(rising), where=below > 0).sum(axis=(1, 2)))


def hires_cam(features: Array, gradients: Array) -> Array:
    """Each place counts by its own gradient (Draelos and Carin 2020, arXiv:2011.08891)."""
    return np.asarray(np.einsum("bhwk,bhwk->bhw", features, gradients), dtype=np.float32)


def weighted(features: Array, weights: Array) -> Array:
    """Channels (B, h, w, K) summed by weights (B, K): (B, h, w)."""
    return np.asarray(np.einsum("bhwk,bk->bhw", features, weights), dtype=np.float32)


METHODS: Mapping[MethodName, Method] = MappingProxyType(
    {"gradcam": grad_cam, "gradcam++": grad_cam_plus_plus, "hirescam": hires_cam})
TITLES: Mapping[MethodName, str] = MappingProxyType(
    {"gradcam": "Grad-CAM", "gradcam++": "Grad-CAM++", "hirescam": "HiResCAM"})
