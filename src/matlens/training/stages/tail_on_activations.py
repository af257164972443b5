"""Train what follows a cut inside the trunk, on cached activations at the cut."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from matlens.data.balance import NATURAL, Balance
from matlens.data.imbalance import balance_of
from matlens.errors import CacheError
from matlens.features.activations import Activations
from matlens.features.trunks import LAST_LAYERS
from matlens.models.protocol import Divisible, Tunable
from matlens.training.feature_batches import FeatureBatches
from matlens.training.frozen import ActivationViews, FrozenFeatures
from matlens.training.stages.base import NetworkTraining, Stage, register
from matlens.training.stages.tail_on_photos import Tail, TailOnPhotos


@register
@dataclass(frozen=True)
class TailOnActivations(Tail):
    """The layers after the cut, on what the frozen layers before it make of each view of each photo.

    inputs: the activations, once they are computed.
    """

    inputs: ActivationViews | None = None

    name: ClassVar[str] = "tail on activations"
    is_on_features: ClassVar[bool] = True

    @property
    def trunks(self) -> tuple[str | None, ...]:
        """The front of the trunk, up to the cut."""
        return (self.cut or LAST_LAYERS,)

    @property
    def cut_layer(self) -> str | None:
        """The layer at which the activations were taken."""
        return self.inputs.layer if self.inputs else None

    @property
    def views(self) -> int:
        """The number of fixed views of each photo."""
        return len(self.inputs.train) if self.inputs else 0

    def prepare(self, frozen: FrozenFeatures) -> Stage | None:
        """Compute the activations, or take them from the cache. Returns None where there is no room for them."""
        inputs = frozen.activations(self.cut or LAST_LAYERS)
        return None if inputs is None else dataclasses.replace(self, inputs=inputs)

    def on_photos(self) -> Stage:
        """Return the stage that computes the layers before the cut in each epoch."""
        return TailOnPhotos(self.epochs, self.recipe, self.cut, self.is_second)

    def photos_an_epoch(self, photos: int) -> int:
        """Return the number of photos that an epoch takes: each in all views, with the recipe `strong` in one."""
        return photos if self.recipe == "strong" else photos * self.views

    def after_cut(self, classifier: Divisible) -> Tunable:
        """Return the layers after the cut as a network of their own."""
        return classifier.after(self._inputs.layer)

    def batches(self, work: NetworkTraining) -> tuple[FeatureBatches, FeatureBatches]:
        """Return the activations. Raises CacheError where they are gone."""
        inputs, settings, split = self._inputs, work.run.settings, work.run.split
        balance = balance_of(settings, split, split.labels(split.part("train")))
        return (self._batches(work, "train", inputs.train, balance),
                self._batches(work, "val", [inputs.val], NATURAL))

    @property
    def _inputs(self) -> ActivationViews:
        if self.inputs is None:
            raise CacheError(f"The activations at {self.cut} were not computed. Run the same command again.")
        return self.inputs

    def _batches(self, work: NetworkTraining, part: str, folders: Sequence[Path], balance: Balance) -> FeatureBatches:
        settings, split = work.run.settings, work.run.split
        views = []
        for folder in folders:
            activations = Activations.open(folder)
            if activations is None:
                raise CacheError(f"The activations in {folder} are gone. Run the same command again.")
            views.append(activations)
        return FeatureBatches(tuple(views), split.labels(split.part(part)), len(split.class_names),
                              settings.batch_size, settings.seed, shuffle=part == "train",
                              by_turns=self.recipe == "strong", balance=balance)
