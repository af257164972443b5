"""The feature maps of photos at a layer with the gradients there: in closed form, or by a framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from matlens.models.head import AnyHead, Score
from matlens.types import Array, Labels


class LayerGradients(Protocol):
    """The feature maps of some photos at a layer, and the gradients of each photo's class score there."""

    @property
    def features(self) -> Array:
        """(B, h, w, K)."""

    def gradients(self) -> Array:
        """Return the gradient at each place, (B, h, w, K)."""

    def mean_gradients(self) -> Array:
        """Return each channel's gradient, averaged over places, (B, K)."""


@dataclass(frozen=True)
class AtHead:
    """Gradients in closed form at the trunk's output, after its activation: what follows it is the head.

    values: what `head.forward(features)` gave. classes: (B,) the class to explain, for each photo.
    """

    features: Array
    head: AnyHead
    values: list[Array]
    classes: Labels
    score: Score = "logit"

    def gradients(self) -> Array:
        """Return the gradient at each place, (B, h, w, K)."""
        return self.head.gradients(self.values, self.classes, self.features, self.score)

    def mean_gradients(self) -> Array:
        """Return each channel's mean gradient, (B, K), without the gradients at each place."""
        _, height, width, channels = self.features.shape
        sums = self.head.channel_gradients(self.values, self.classes, channels, self.score)
        return sums / np.float32(height * width)


@dataclass(frozen=True)
class ByFramework:
    """Gradients that a framework computed, at any layer."""

    features: Array
    at_places: Array

    def gradients(self) -> Array:
        """Return the gradient at each place, (B, h, w, K)."""
        return self.at_places

    def mean_gradients(self) -> Array:
        """Return each channel's mean gradient, (B, K)."""
        return np.asarray(self.at_places.mean(axis=(1, 2)), dtype=np.float32)
