"""What the heads of the recipe `probe` are fitted on, and how each that is tried stands in the history."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matlens.errors import OutOfMemoryError
from matlens.features.cache import rows_of
from matlens.models.head import Pooling
from matlens.models.registry import spec_of
from matlens.settings.schema import Settings
from matlens.system.resources import available_memory
from matlens.training.frozen import FrozenFeatures
from matlens.training.probe.logistic import Standardisation
from matlens.types import Array, Floats, Labels, Rows, Scores

MOST_COPIED = 1 << 30
"""Bytes of the features of all photos: of fewer a fit holds several copies. MINC-2500 x 1,280 features take 0.3 GB."""


@dataclass(frozen=True)
class Given:
    """Pooled features of training and validation photos.

    train: (N, K) float32, all views of the training photos one after the other. labels: (N,).
    val: (V, K) float32. val_labels: (V,).
    key: of the features in the cache.
    """

    train: Rows
    labels: Labels
    val: Rows
    val_labels: Labels
    key: str

    @classmethod
    def of(cls, frozen: FrozenFeatures, copies: float) -> Given:
        """Compute the features of a run's photos, or take them from the cache, and copy them.

        copies: how many times the head that is fitted holds the features of the training and the validation photos.

        Raises OutOfMemoryError where these would not fit into memory. Nothing has been computed then.
        """
        refuse_too_much(frozen, copies)
        split, features = frozen.prepared.split, frozen.pooled()
        train, val = (split.part(part) for part in ("train", "val"))
        views = [features.views[0][rows_of(train, features.digests)], *(view[:] for view in features.views[1:])]
        return cls(np.concatenate(views), np.tile(split.labels(train), len(views)),
                   features.views[0][rows_of(val, features.digests)], split.labels(val), features.key)

    @classmethod
    def on_disk(cls, frozen: FrozenFeatures) -> Given:
        """Do the same without a copy, in one view: the photos are in the order in which their features lie there."""
        split, features = frozen.prepared.split, frozen.pooled()
        parts = []
        for part in ("train", "val"):
            photos = split.part(part)
            rows = features.views[0].take(rows_of(photos, features.digests))
            order = np.argsort(rows.places, kind="stable")
            parts.append((rows.take(order), split.labels(photos)[order]))
        return cls(*parts[0], *parts[1], features.key)

    @property
    def train_array(self) -> Array:
        """The features of the training photos as an array."""
        return self.train if isinstance(self.train, np.ndarray) else self.train[np.arange(len(self.labels))]

    def standardisation(self) -> Standardisation:
        """Measure the training photos. Raises ModelError where features are no finite numbers."""
        return Standardisation.of(self.train)


def stays_on_disk(frozen: FrozenFeatures) -> bool:
    """Return whether the features of a run's photos are too large to be copied, and can be read from the disk."""
    return (frozen.run.settings.views == 1
            and len(frozen.prepared.split.photos) * frozen.bytes_of_features() > MOST_COPIED)


def refuse_too_much(frozen: FrozenFeatures, copies: float) -> None:
    """Raise OutOfMemoryError where the features of all photos, and copies of some, need more memory than there is."""
    split, settings, free = frozen.prepared.split, frozen.run.settings, available_memory()
    fitted = settings.views * len(split.part("train")) + len(split.part("val"))
    needed = int((len(split.photos) + copies * fitted) * frozen.bytes_of_features())
    if free is None or needed <= free:
        return
    raise OutOfMemoryError(
        f"{frozen.model}: the recipe probe holds the features of {len(split.photos):,} photos in memory, some "
        f"{needed / 1e9:,.1f} GB with what it fits, and {free / 1e9:,.1f} GB are free. End other programs that hold "
        f"memory, or give {less_than(settings, '--recipe guide, which reads features from the disk')}.")


def less_than(settings: Settings, other: str) -> str:
    """Return the options that make a probe smaller, and another way, for the end of a message."""
    return ", or ".join([*(["--views 1"] if settings.views > 1 else []),
                         *(["--features last"] if settings.features != "last" else []), other])


def pooling_of(frozen: FrozenFeatures) -> tuple[Pooling, int | None]:
    """Return the pooling of a head on these features, and how many of the channels tell of places (`AnyHead`)."""
    settings = frozen.run.settings
    if settings.features == "multi":
        return "statistics", frozen.trunk(None).places
    return spec_of(frozen.model).pooling_of(settings.options_of(frozen.model)), None


def scores_of(logs: Floats, labels: Labels) -> Scores:
    """Return the mean loss and the accuracy of logarithms of probabilities (N, C)."""
    return Scores(float(-logs[np.arange(len(labels)), labels].mean()), float((logs.argmax(axis=1) == labels).mean()))
