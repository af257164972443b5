"""Grad-CAM++ (Chattopadhyay et al. 2018, doi:10.1109/WACV.2018.00097): each channel counts by its rising gradients.

Of the exponential of a score S that is piecewise linear in the feature map, as all heads here are, the second and
third derivatives are exp(S) g^2 and exp(S) g^3. Equation 19 of the paper so becomes, for a gradient g > 0,
alpha = g^2 / (2 g^2 + sum(A) g^3) = 1 / (2 + g sum(A)), with sum(A) over the channel's places.
The factor exp(S), the same everywhere, is left out.
"""

from __future__ import annotations

import numpy as np

from matlens.explanation.explainer import GradientMethod, weighted
from matlens.explanation.registry import register
from matlens.types import Array


@register
class GradCAMPlusPlus(GradientMethod):
    """Weight each channel of the feature map by its rising gradients. Defined for logits alone."""

    name = "gradcam++"
    title = "Grad-CAM++"
    source = "Chattopadhyay et al. 2018"
    scores = ("logit",)
    rank = 20

    def evidence(self, features: Array, gradients: Array) -> Array:
        """Sum the channels, weighted by their gradients above 0, each with its alpha."""
        rising = np.maximum(gradients, 0)
        below = 2 + rising * features.sum(axis=(1, 2), keepdims=True)
        # Only a channel with negative values, so one before an activation, has sums that turn the sign: it is left out.
        return weighted(features, np.divide(rising, below, out=np.zeros_like(rising), where=below > 0).sum(axis=(1, 2)))
