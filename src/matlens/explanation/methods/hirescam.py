"""HiResCAM (Draelos and Carin 2020, arXiv:2011.08891): each place counts by its own gradient.

Where the trunk ends in a global average, gradients are the same at all places: HiResCAM then is Grad-CAM. They differ
behind VGG19's flattening, and at earlier layers.
"""

from __future__ import annotations

import numpy as np

from matlens.explanation.explainer import GradientMethod
from matlens.explanation.registry import register
from matlens.types import Array


@register
class HiResCAM(GradientMethod):
    """Multiply features and gradients place by place, and sum over the channels."""

    name = "hirescam"
    title = "HiResCAM"
    source = "Draelos and Carin 2020"
    rank = 30

    def evidence(self, features: Array, gradients: Array) -> Array:
        """Sum the products of features and gradients over the channels."""
        return np.asarray(np.einsum("bhwk,bhwk->bhw", features, gradients), dtype=np.float32)
