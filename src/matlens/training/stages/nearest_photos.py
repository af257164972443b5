"""Let the nearest training photos vote, by the features of a frozen trunk: the recipe `probe` with the head `knn`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from matlens.errors import ModelError
from matlens.models.heads.knn import KnnHead, nearest_of, unit_rows, votes_of
from matlens.training.frozen import FrozenFeatures
from matlens.training.history import Epoch, History
from matlens.training.probe.given import Given, less_than, pooling_of, scores_of
from matlens.training.stages.base import HeadStage, TrainedHead, adjusted, leave_model_file, register
from matlens.types import Array, Floats, Labels

NEIGHBOURS = (1, 2, 5, 10, 20, 50, 100)
"""The numbers of photos that may vote, of which the validation photos choose."""

MOST_BYTES = 512 << 20
"""Of the training photos' features, which the artifact holds: MINC-2500's 48,875 photos x 1,280 features take half."""

_COPIES = 3
"""Of the features: as they are, at length 1, and meanwhile once more."""

_MOST_SCORED = 4096
"""Training photos whose own votes are counted for the curves; the similarities of all would take long."""

_AT_ONCE = 256
"""Photos whose similarities to all training photos are in memory."""


@register
@dataclass(frozen=True)
class NearestPhotos(HeadStage):
    """Nothing is trained; validation photos choose how many neighbours vote.

    epochs: of no meaning here.
    """

    name: ClassVar[str] = "nearest photos"
    needs_features: ClassVar[bool] = True

    def train(self, frozen: FrozenFeatures, *, is_last: bool) -> TrainedHead:
        """Choose the number of neighbours, and leave the model file.

        A training photo does not vote for itself in the curves, nor do its other views.

        Raises ModelError where features are no finite numbers, or too many for an artifact; OutOfMemoryError where they
        are too many for the memory.
        """
        split, reporter = frozen.prepared.split, frozen.reporter
        _refuse_large(frozen)
        given = Given.of(frozen, _COPIES)
        given.standardisation()  # raises where features are no numbers
        settings, exemplars, classes = frozen.run.settings, unit_rows(given.train_array)[0], len(split.class_names)
        tried = [k for k in NEIGHBOURS if k < len(split.part("train"))] or [1]
        pooling, places = pooling_of(frozen)
        head = KnnHead(pooling, exemplars, given.labels, tried[0], np.zeros(classes, np.float32), places)
        history, started = History(), time.perf_counter()
        own = np.linspace(0, len(split.part("train")) - 1, min(_MOST_SCORED, len(split.part("train")))).astype(np.int64)
        of_train = _neighbours(head, given.train_array[own], tried[-1], own, settings.views)
        of_val = _neighbours(head, np.asarray(given.val), tried[-1])
        seconds = (time.perf_counter() - started) / len(tried)
        for number, k in enumerate(tried, 1):
            train, val = (scores_of(_logarithms(found, k, classes), labels) for found, labels in (
                (of_train, given.labels[own]), (of_val, given.val_labels)))
            history.epochs.append(Epoch(number, train, val, 0.0, seconds, len(given.labels) / max(seconds, 1e-6),
                                        neighbours=k))
        chosen = history.best
        assert chosen.neighbours is not None
        remark = (f"recipe probe: the {chosen.neighbours} nearest training photos vote; the loss of the validation "
                  f"photos chose their number, of {len(tried)} tried; the artifact holds the features of the training "
                  "photos")
        reporter.say(f"  {chosen.neighbours} neighbours of {', '.join(map(str, tried))}: loss {chosen.train.loss:.3f}, "
                     f"accuracy {chosen.train.accuracy:.1%}, val loss {chosen.val.loss:.3f}, val accuracy "
                     f"{chosen.val.accuracy:.1%}, {seconds * len(tried):.1f} s for all. The artifact holds the "
                     f"features of {len(given.labels):,} training photos ({exemplars.nbytes / 1e6:,.1f} MB)")
        voting = adjusted(KnnHead(pooling, exemplars, given.labels, chosen.neighbours, head.bias, places), frozen)
        leave_model_file(frozen, voting)
        frozen.clock.lap("train")
        return TrainedHead(history, voting, given.key, (remark,))


def _refuse_large(frozen: FrozenFeatures) -> None:
    """Raise ModelError where the artifact would be too large, before features are computed."""
    settings, photos = frozen.run.settings, len(frozen.prepared.split.part("train")) * frozen.run.settings.views
    size = photos * frozen.bytes_of_features()
    if size > MOST_BYTES:
        raise ModelError(f"{frozen.model}: with --head knn the artifact holds the features of all training photos, "
                         f"here {photos:,} of {frozen.bytes_of_features() / 1e3:,.1f} kB each, {size / 1e6:,.0f} MB, "
                         f"and it may hold {MOST_BYTES / 1e6:,.0f} MB. Give {less_than(settings, '--head linear')}.")


def _neighbours(head: KnnHead, pooled: Array, k: int, own: Labels | None = None, views: int = 1,
                ) -> tuple[Array, Labels]:
    """Return the similarities (B, k) of the nearest exemplars, the nearest first, and their classes.

    own: which training photos these are, of each of which `views` rows are exemplars: these do not vote.
    """
    parts: list[tuple[Array, Labels]] = []
    photos = len(head.labels) // views
    for start in range(0, len(pooled), _AT_ONCE):
        similarities = head.similarities(pooled[start:start + _AT_ONCE])
        if own is not None:
            for view in range(views):
                similarities[np.arange(len(similarities)), own[start:start + _AT_ONCE] + view * photos] = -np.inf
        nearest, values = nearest_of(similarities, k)
        parts.append((values, head.labels[nearest]))
    values, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return values, labels


def _logarithms(found: tuple[Array, Labels], k: int, classes: int) -> Floats:
    votes = votes_of(found[0][:, :k], found[1][:, :k], classes)
    return np.asarray(np.log(votes / votes.sum(axis=1, keepdims=True)), dtype=np.float64)
