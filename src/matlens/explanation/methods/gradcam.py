"""Grad-CAM (Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74): each channel counts by its mean gradient."""

from __future__ import annotations

from matlens.explanation.explainer import GradientMethod, weighted
from matlens.explanation.layer_gradients import LayerGradients
from matlens.explanation.registry import register
from matlens.types import Array


@register
class GradCAM(GradientMethod):
    """Weight each channel of the feature map by the mean of its gradients."""

    name = "gradcam"
    title = "Grad-CAM"
    source = "Selvaraju et al. 2017"
    rank = 10

    def evidence(self, features: Array, gradients: Array) -> Array:
        """Sum the channels, weighted by their mean gradients."""
        return weighted(features, gradients.mean(axis=(1, 2)))

    def evidence_at(self, layer: LayerGradients) -> Array:
        """Ask the layer for the means alone: at VGG19's head that spares a second pass through a kernel of 400 MB."""
        return weighted(layer.features, layer.mean_gradients())
