"""Train the new head of a pretrained network on averaged features of its frozen trunk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from matlens.data.balance import NATURAL, Balance
from matlens.data.imbalance import balance_of
from matlens.errors import ModelError
from matlens.features.cache import rows_of
from matlens.models.head import AnyHead
from matlens.models.registry import spec_of
from matlens.training.checkpoints import checkpoints_of
from matlens.training.feature_batches import FeatureBatches
from matlens.training.frozen import FrozenFeatures, PooledFeatures
from matlens.training.head_training import HeadTrainer
from matlens.training.history import History
from matlens.training.loop import fit
from matlens.training.progress import Resumption, ShownProgress
from matlens.training.stages.base import HeadStage, Stage, TrainedHead, adjusted, leave_model_file, register
from matlens.training.stages.whole_network import WholeNetwork
from matlens.types import Rows

_COPIED = 512 << 20
"""Bytes of a part's features. Fewer are copied once, so that a batch's lie together; more stay mapped from the disk."""

_APART = 2.0
"""Seconds between two states of a head's training: an epoch may take less than a state takes to be written."""


@register
@dataclass(frozen=True)
class HeadOnFeatures(HeadStage):
    """The guide's first stage for a pretrained network: its head alone, on features that are computed once.

    views: the number of fixed views of each photo; None is that of the settings.
    """

    views: int | None = None

    name: ClassVar[str] = "head on features"

    def on_photos(self) -> Stage:
        """Return the stage that trains the head as a part of the whole network."""
        return WholeNetwork(self.epochs)

    def train(self, frozen: FrozenFeatures, *, is_last: bool) -> TrainedHead:
        """Train the head and leave the model file."""
        run, model, spec = frozen.run, frozen.model, spec_of(frozen.model)
        if spec.head is None:
            raise ModelError(f"The model {model} declares no head that can be trained on features.")
        if frozen.weights_file is not None:
            frozen.reporter.say(f"{spec.title}: training the head on features of {frozen.weights_file.name}")
        settings, split = run.settings, frozen.prepared.split
        features = frozen.pooled(self.views)
        train = _batches(frozen, features, "train", features.views[1:], balance_of(
            settings, split, split.labels(split.part("train"))))
        trainer = HeadTrainer.fresh(features.views[0].shape[1], spec.head.hidden_units, len(split.class_names),
                                    spec.head.dropout, spec.head.learning_rate, settings.seed)
        states = checkpoints_of(run, model, Resumption(run, model, frozen.reporter), features.computed_by, _APART)
        with frozen.reporter.progress(spec.title, len(train) * self.epochs) as advance:
            history = fit(trainer, train, _batches(frozen, features, "val"),
                          ShownProgress(frozen.reporter, advance, len(train)), epochs=self.epochs,
                          early_stopping_patience=settings.early_stopping_patience,
                          reduce_lr_patience=settings.reduce_lr_patience,
                          history=History(keep_last=split.train_on == "train+val", choose_by=settings.choose_by),
                          states=states.of("head", trainer))
        head: AnyHead = trainer.head(spec.pooling_of(settings.options_of(model)))
        if is_last:
            head = adjusted(head, frozen)
        leave_model_file(frozen, head)
        frozen.clock.lap("train" if is_last else "head", sum(epoch.seconds for epoch in history))
        return TrainedHead(history, head, features.key)


def _batches(frozen: FrozenFeatures, features: PooledFeatures, part: str, more_views: Sequence[Rows] = (),
             balance: Balance = NATURAL) -> FeatureBatches:
    split, settings = frozen.prepared.split, frozen.run.settings
    photos = split.part(part)
    rows: Rows = features.views[0].take(rows_of(photos, features.digests))
    if 4 * math.prod(rows.shape) <= _COPIED:
        rows = rows[np.arange(len(photos))]
    return FeatureBatches((rows, *more_views), split.labels(photos), len(split.class_names), settings.batch_size,
                          settings.seed, shuffle=part == "train", balance=balance)
