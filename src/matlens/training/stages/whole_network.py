"""Train a network on photos, as its builder compiled it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from matlens.data.batches import PhotoBatches, part_batches
from matlens.data.imbalance import balance_of
from matlens.models.protocol import Divisible, Tunable
from matlens.training.stages.base import NetworkStage, NetworkTraining, register


@register
@dataclass(frozen=True)
class WholeNetwork(NetworkStage):
    """All layers that the builder left trainable: the whole network, or the head of a pretrained one."""

    name: ClassVar[str] = "whole network"

    def network(self, classifier: Divisible) -> Tunable:
        """Return the classifier as it is."""
        return classifier

    def batches(self, work: NetworkTraining) -> tuple[PhotoBatches, PhotoBatches]:
        """Return photos, the training photos varied in each epoch where the settings ask for it."""
        return photo_batches(work)


def photo_batches(work: NetworkTraining) -> tuple[PhotoBatches, PhotoBatches]:
    """Return the training photos, shuffled and varied in each epoch, and the validation photos.

    They are bytes where the classifier's device makes floats of them and varies them.
    """
    settings, split = work.run.settings, work.run.split
    train = part_batches(split, "train", work.store, settings.batch_size, seed=settings.seed, shuffle=True,
                         augmented=settings.augment,
                         balance=balance_of(settings, split, split.labels(split.part("train"))))
    val = part_batches(split, "val", work.store, settings.batch_size)
    return (train.as_bytes(), val.as_bytes()) if work.classifier.takes_bytes else (train, val)
