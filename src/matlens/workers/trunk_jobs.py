"""What a child process does to trunks: draft, confirm, compute features, quantise, differentiate."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from matlens.data.batches import read_photos
from matlens.data.pixels.store import PixelStore
from matlens.data.split.splits import Photo
from matlens.errors import CacheError
from matlens.features.artifact import Artifact
from matlens.features.cache import FeatureCache, feature_parts
from matlens.features.engine import FrameworkEngine
from matlens.features.quantise import CALIBRATION_PHOTOS, quantise_artifact
from matlens.features.trunks import TrunkOrder, confirm_trunk, draft_trunk, resolved_layer
from matlens.models.protocol import Classifier, room_of
from matlens.runs.run import Run
from matlens.training.tasks import FeaturesTask, GradientsTask, QuantiseTask, TrunkTask

_AT_ONCE = 8
"""Photos that are differentiated together: at an early layer one takes some 25 MB."""


class Events(Protocol):
    """Tells the parent."""

    def send(self, event: str, **content: Any) -> None:
        """One event."""

    def photos(self, done: int) -> None:
        """So many photos are done."""


def draft(task: TrunkTask) -> None:
    """Convert a pretrained trunk as fast as can be."""
    order = TrunkOrder.from_json(task.order)
    draft_trunk(room_of(order.build.model).build(order.build), order, Path(task.cache_dir))


def confirm(task: TrunkTask) -> None:
    """Compare a draft with the framework, and keep it with a model file whose head is untrained."""
    order, cache_dir = TrunkOrder.from_json(task.order), Path(task.cache_dir)
    room = room_of(order.build.model)
    classifier = room.build(order.build)
    if not order.draft(cache_dir).exists():
        draft_trunk(classifier, order, cache_dir)
    confirm_trunk(classifier, order, cache_dir, room.versions())


def features(task: FeaturesTask, events: Events) -> None:
    """Compute a frozen trunk's features in its framework and keep them; nothing where `gpu_only` finds no GPU."""
    order = TrunkOrder.from_json(task.order)
    room = room_of(order.build.model)
    if task.gpu_only and not room.has_gpu():
        return
    folder = Run.open(Path(task.run_dir))
    store, classifier = open_store(task.store), room.build(order.build)
    until = resolved_layer(classifier, order)
    cache = FeatureCache(folder.settings.cache_dir, order.key, order.build.model, store,
                         lambda pooled: FrameworkEngine(classifier, order.build.img_size, pooled=pooled, until=until),
                         "framework")
    done = 0
    for wanted in feature_parts(folder.split, folder.settings.views, pooled=until is None):
        def heard(now: int, _: int, before: int = done) -> None:
            events.photos(before + now)

        if until is None:
            cache.features(wanted.digests, wanted.view, heard)
        else:
            cache.activations(wanted.digests, wanted.view, folder.settings.activations, heard)
        done += len(wanted.digests)


def quantise(task: QuantiseTask, events: Events) -> None:
    """Make the INT8 artifact of a float32 one, and tell how the two compare."""
    # NNCF would load PyTorch wherever it is installed; for OpenVINO's models it needs none of it.
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
    folder = Run.open(Path(task.run_dir))
    split, settings, artifact = folder.split, folder.settings, Artifact.open(folder.paths.artifact(task.model))

    def read(photos: Sequence[Photo]) -> Iterator[npt.NDArray[np.float32]]:
        return read_photos(folder.data_root, photos, artifact.img_size, keep_truncated=settings.keep_truncated)

    train_photos, val_photos = split.part("train"), split.part("val")
    chosen = np.random.default_rng(settings.seed).permutation(len(train_photos))[:CALIBRATION_PHOTOS]
    calibration = list(read([train_photos[i] for i in chosen]))
    found = quantise_artifact(artifact, folder.paths.int8_artifact(task.model), calibration, read(val_photos),
                              split.labels(val_photos), task.max_drop)
    events.send("judged", **dataclasses.asdict(found))


def gradients(classifier: Classifier, task: GradientsTask, events: Events) -> None:
    """Write feature maps and gradients at a layer, some photos a file, and tell of each file."""
    with np.load(task.photos, allow_pickle=False) as file:
        photos, classes = file["photos"], file["classes"]
    for start in range(0, len(photos), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        images = photos[some].astype(np.float32) / np.float32(255)
        features, slopes = classifier.features_and_gradients(images, classes[some], task.layer)
        path = Path(task.photos).with_name(f"{start}.npz")
        np.savez(path, features=features, gradients=slopes)
        events.send("gradients", file=str(path))


def open_store(folder: str) -> PixelStore:
    """The run's store. Raises CacheError where it is gone."""
    store = PixelStore.open(Path(folder))
    if store is None:
        raise CacheError(f"The pixel store {folder} is gone. Run the same command again.")
    return store
