"""Fit a linear head on averaged features of a frozen trunk: the recipe `probe`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from matlens.data.imbalance import logit_shift, photo_weights
from matlens.features.cache import rows_of
from matlens.models.registry import spec_of
from matlens.training.frozen import FrozenFeatures
from matlens.training.history import Epoch, History
from matlens.training.probe.logistic import STRENGTHS, Linear, Standardisation, fits
from matlens.training.stages.base import HeadStage, TrainedHead, leave_model_file, register
from matlens.types import Floats, Labels, Scores


@register
@dataclass(frozen=True)
class LinearHead(HeadStage):
    """One dense layer, fitted to its optimum for each strength of the penalty; validation photos choose the strength.

    epochs: of no meaning here.
    """

    name: ClassVar[str] = "linear head"
    is_on_features: ClassVar[bool] = True
    needs_features: ClassVar[bool] = True

    @property
    def trunks(self) -> tuple[str | None, ...]:
        """The whole trunk."""
        return (None,)

    def train(self, frozen: FrozenFeatures, *, is_last: bool) -> TrainedHead:
        """Fit the head and leave the model file. The head is not fitted again on the validation photos, which chose it.

        Raises ModelError where features are no finite numbers.
        """
        split, spec, reporter = frozen.prepared.split, spec_of(frozen.model), frozen.reporter
        features = frozen.pooled()
        train, val = (split.part(part) for part in ("train", "val"))
        views = [features.views[0][rows_of(train, features.digests)], *features.views[1:]]
        standard = Standardisation.of(given := np.concatenate(views))
        photos, labels = standard.applied(given), np.tile(split.labels(train), len(views))
        settings = frozen.run.settings
        weights, shift = photo_weights(settings, split, labels), logit_shift(settings, split)
        val_photos = standard.applied(features.views[0][rows_of(val, features.digests)])
        history, heads, started = History(), list[Linear](), time.perf_counter()
        with reporter.progress(spec.title, len(STRENGTHS)) as advance:
            for fitted in fits(photos, labels, len(split.class_names), weights=weights):
                number, seconds = len(history.epochs) + 1, time.perf_counter() - started
                history.epochs.append(Epoch(
                    number, _scores(fitted, photos, labels), _scores(fitted, val_photos, split.labels(val)), 0.0,
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
        head = standard.folded(heads[chosen.number - 1], spec.pooling_of(settings.options_of(frozen.model)))
        if shift is not None:
            head = head.shifted(shift)
        leave_model_file(frozen, head)
        frozen.clock.lap("train")
        return TrainedHead(history, head, features.key, (
            "recipe probe: a linear head on the frozen trunk; the loss of the validation photos chose the strength of "
            f"its L2 penalty ({strength})",))


def _scores(head: Linear, photos: Floats, labels: Labels) -> Scores:
    """Return the mean loss, without the penalty, and the accuracy."""
    logs = head.log_probabilities(photos)
    return Scores(float(-logs[np.arange(len(labels)), labels].mean()), float((logs.argmax(axis=1) == labels).mean()))
