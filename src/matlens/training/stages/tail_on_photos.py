"""Train what follows a cut inside the trunk, on photos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from matlens.data.batches import PhotoBatches
from matlens.features.trunks import LAST_LAYERS
from matlens.models.protocol import Divisible, Tunable
from matlens.training.stages.base import NetworkStage, NetworkTraining, register
from matlens.training.stages.whole_network import photo_batches
from matlens.training.strong import STRONG


@dataclass(frozen=True)
class Tail(NetworkStage):
    """What follows a layer is trained, the rest is frozen.

    cut: the layer; None, or LAST_LAYERS, leaves it to the model.
    is_second: whether another stage was trained before.
    """

    cut: str | None = None
    is_second: bool = False

    @property
    def trained_after(self) -> str | None:
        """The layer after which the network is trained."""
        return self.cut_layer or self.cut

    @property
    def decided_by(self) -> list[str | int | None]:
        """The cut, the layer of activations, and their views; and by the recipe `strong`, that a head came first."""
        return [self.cut, self.cut_layer, self.views, *["head first"] * (self.is_second and self.recipe == "strong")]

    @property
    def states(self) -> str:
        """The name of the states that the stage leaves."""
        return "finetune" if self.is_second and self.recipe == "guide" else super().states

    def network(self, classifier: Divisible) -> Tunable:
        """Freeze what precedes the cut, and lower the learning rate."""
        classifier.begin_finetuning(None if self.cut == LAST_LAYERS else self.cut)
        network = self.after_cut(classifier)
        if self.recipe == "strong":
            network.learning_rate = STRONG.learning_rate
        return network

    def after_cut(self, classifier: Divisible) -> Tunable:
        """Return what is trained of a classifier that is ready for fine-tuning."""
        return classifier


@register
@dataclass(frozen=True)
class TailOnPhotos(Tail):
    """The layers after the cut, with photos that go through the whole network in each epoch."""

    name: ClassVar[str] = "tail on photos"

    def batches(self, work: NetworkTraining) -> tuple[PhotoBatches, PhotoBatches]:
        """Return photos."""
        return photo_batches(work)
