"""Fit a linear head on pooled features of a frozen trunk: the recipe `probe`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from matlens.data.imbalance import photo_weights
from matlens.models.registry import spec_of
from matlens.training.frozen import FrozenFeatures
from matlens.training.history import Epoch, History
from matlens.training.probe.given import Given, pooling_of, scores_of, stays_on_disk
from matlens.training.probe.logistic import STRENGTHS, Linear, fits
from matlens.training.stages.base import HeadStage, TrainedHead, adjusted, leave_model_file, register

_COPIES = 3
"""Of the features of the photos that it is fitted on, or chosen by: as they are, and in float64."""


@register
@dataclass(frozen=True)
class LinearHead(HeadStage):
    """One dense layer, fitted to its optimum for each strength of the penalty; validation photos choose the strength.

    epochs: of no meaning here.
    """

    name: ClassVar[str] = "linear head"
    needs_features: ClassVar[bool] = True

    def train(self, frozen: FrozenFeatures, *, is_last: bool) -> TrainedHead:
        """Fit the head and leave the model file. The head is not fitted again on the validation photos, which chose it.

        Raises ModelError where features are no finite numbers, and OutOfMemoryError where they are too many.
        """
        split, spec, reporter = frozen.prepared.split, spec_of(frozen.model), frozen.reporter
        on_disk, settings = stays_on_disk(frozen), frozen.run.settings
        given = Given.on_disk(frozen) if on_disk else Given.of(frozen, _COPIES)
        standard = given.standardisation()
        photos, val_photos = (standard.applied_later(rows) if on_disk else standard.applied(np.asarray(rows))
                              for rows in (given.train, given.val))
        labels, val_labels, key = given.labels, given.val_labels, given.key
        del given  # which holds the features once more
        weights = photo_weights(settings, split, labels)
        history, heads, started = History(), list[Linear](), time.perf_counter()
        with reporter.progress(spec.title, len(STRENGTHS)) as advance:
            for fitted in fits(photos, labels, len(split.class_names), weights=weights):
                number, seconds = len(history.epochs) + 1, time.perf_counter() - started
                history.epochs.append(Epoch(
                    number, scores_of(fitted.log_probabilities(photos), labels),
                    scores_of(fitted.log_probabilities(val_photos), val_labels), 0.0,
                    seconds, len(photos) * fitted.passes / seconds, STRENGTHS[number - 1]))
                heads.append(fitted)
                advance(number, "")
                started = time.perf_counter()
        chosen = history.best
        extreme = {1: "the strongest of ", len(heads): "the weakest of "}.get(chosen.number, "of ")
        strength = f"{chosen.strength:g}, {extreme}{len(heads)} tried"
        reporter.say(f"  strength {strength}: loss {chosen.train.loss:.3f}, accuracy {chosen.train.accuracy:.1%}, "
                     f"val loss {chosen.val.loss:.3f}, val accuracy {chosen.val.accuracy:.1%}, "
                     f"{sum(epoch.seconds for epoch in history):.1f} s for all")
        head = adjusted(standard.folded(heads[chosen.number - 1], *pooling_of(frozen)), frozen)
        leave_model_file(frozen, head)
        frozen.clock.lap("train")
        return TrainedHead(history, head, key, (
            "recipe probe: a linear head on the frozen trunk; the loss of the validation photos chose the strength of "
            f"its L2 penalty ({strength})",))
