"""A network whose head lets training photos vote: its trunk in the framework, its head from the artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from matlens.errors import ModelError
from matlens.models.capabilities.attention import Attention, attention_of
from matlens.models.head import AnyHead
from matlens.models.heads.knn import KnnHead
from matlens.models.protocol import Divisible
from matlens.types import Array, Labels


class Trained(Protocol):
    """What jobs ask of a trained model in its framework; see `models.protocol.Divisible`."""

    @property
    def last_conv_layer_name(self) -> str:
        """The layer that Grad-CAM looks at."""

    def predict(self, images: Array) -> Array:
        """Map photos (B, H, W, 3) in [0, 1] to probabilities (B, C) float32."""

    def export_trunk(self, folder: Path) -> AnyHead:
        """Write trunk.xml and trunk.bin; return the head."""

    def head(self) -> AnyHead:
        """Return a copy of what follows the trunk."""

    def features_and_gradients(self, images: Array, classes: Labels, layer: str) -> tuple[Array, Array]:
        """Return any layer's output, and the gradient of each photo's logit of class `classes[i]` there."""


class Voting:
    """A `Trained` model that answers as its artifact does: the head is that, since a model file holds no photos."""

    def __init__(self, classifier: Divisible, head: KnnHead, model: str) -> None:
        self._classifier, self._head, self._model = classifier, head, model

    @property
    def last_conv_layer_name(self) -> str:
        """The layer that Grad-CAM looks at."""
        return self._classifier.last_conv_layer_name

    def predict(self, images: Array) -> Array:
        """Map photos (B, H, W, 3) in [0, 1] to probabilities (B, C) float32."""
        return self._head.probabilities(self._classifier.features(images))

    def export_trunk(self, folder: Path) -> KnnHead:
        """Write trunk.xml and trunk.bin; return the head."""
        self._classifier.export_trunk(folder)
        return self._head

    def head(self) -> KnnHead:
        """Return the head."""
        return self._head

    def attention(self, images: Array) -> Attention:
        """Return what tokens attend to. Raises ModelError where the network cannot tell."""
        return attention_of(self._classifier, images, self._model)

    def features_and_gradients(self, images: Array, classes: Labels, layer: str) -> tuple[Array, Array]:
        """Raise ModelError: the framework knows nothing of the votes."""
        raise ModelError(f"The classes of {self._model} are votes of training photos (--head knn), which its "
                         f"framework does not know, so it cannot differentiate them at the layer {layer}. Leave "
                         "--layer out: at the last layer the gradient follows in closed form.")
