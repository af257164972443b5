"""Train on what a frozen trunk, or the front of one, makes of the photos: computed once, kept, and shared by runs."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from matlens.console import Advance, Reporter
from matlens.data.prepare import Prepared
from matlens.errors import RunFolderError
from matlens.features.artifact import assemble_artifact
from matlens.features.cache import FeatureCache
from matlens.features.model_file import write_model_file
from matlens.features.trunks import CachedTrunk
from matlens.files import write_json
from matlens.models.catalogue import model_info
from matlens.models.head import Head
from matlens.training.conversion import Conversion, TrunkConversions
from matlens.training.feature_batches import FeatureBatches
from matlens.training.head_training import HeadTrainer
from matlens.training.history import History
from matlens.training.loop import fit
from matlens.training.plan import Plan
from matlens.training.progress import ShownProgress
from matlens.training.record import Clock, about_model, training_record
from matlens.training.run_folder import RunFolder

_HELD_FREE = 1e9
"""Bytes that activations leave free on the disk."""


@dataclass(frozen=True)
class Kept:
    """Activations for a training from a cut on: folders, of the training photos one for each view."""

    train: tuple[str, ...]
    val: str


@dataclass(frozen=True)
class FrozenTraining:
    """One model's training on kept features. Needs no framework until something inside the trunk is trained."""

    folder: RunFolder
    name: str
    prepared: Prepared
    conversions: TrunkConversions
    plan: Plan
    reporter: Reporter
    clock: Clock = dataclasses.field(default_factory=Clock)

    def train_head(self) -> tuple[History, Head]:
        """Train the head on averaged features and leave the model file."""
        settings, split, info = self.folder.settings, self.prepared.split, model_info(self.name)
        assert info.transfer_head is not None
        conversion = self.conversions.of(self.name, None)
        views = self._features(self._cache(conversion))
        self.clock.lap("features")
        part_of = np.array([photo.part for photo in split.photos])
        labels = split.labels(split.photos)

        def batches(part: str, of_part: Sequence[npt.NDArray[np.float32]]) -> FeatureBatches:
            return FeatureBatches(tuple(of_part), labels[part_of == part], len(split.class_names), settings.batch_size,
                                  settings.seed, shuffle=part == "train")

        train = batches("train", [views[0][part_of == "train"], *views[1:]])
        val = batches("val", [views[0][part_of == "val"]])
        trainer = HeadTrainer.fresh(views[0].shape[1], info.transfer_head.hidden_units, len(split.class_names),
                                    info.transfer_head.dropout, info.transfer_head.learning_rate, settings.seed)
        epochs = settings.epochs(self.name)
        with self.reporter.progress(info.title, len(train) * epochs) as advance:
            history = fit(trainer, train, val, ShownProgress(self.reporter, advance, len(train)), epochs=epochs,
                          early_stopping_patience=settings.early_stopping_patience,
                          reduce_lr_patience=settings.reduce_lr_patience)
        head = trainer.head()
        write_model_file(conversion.confirmed().model_template, head, self.folder.model_file(self.name),
                         about_model(self.name, split, settings))
        self.clock.lap("head" if self.plan.cut else "train")
        return history, head

    def finish(self, history: History, head: Head, weights_file: Path, remarks: Sequence[str]) -> None:
        """Leave the artifact and, last, the record of a training that was of the head alone."""
        settings, split, trunk = self.folder.settings, self.prepared.split, self._trunk(None)
        artifact = assemble_artifact(self.folder.artifact(self.name), trunk, head, self.name, split.class_names,
                                     settings.img_size)
        self.clock.lap("export")
        key = self._cache(self.conversions.of(self.name, None)).key([photo.sha256 for photo in split.photos])
        write_json(self.folder.training_file(self.name), training_record(
            self.name, history, split, artifact, self.clock.seconds, parameters=trunk.parameters,
            weights_file=weights_file, remarks=remarks, versions=trunk.versions, views=settings.views,
            features_key=key))

    def keep_activations(self) -> Kept | None:
        """Compute activations at the cut, or find those that are kept; None, with a warning, where there is no room."""
        settings, split = self.folder.settings, self.prepared.split
        cache = self._cache(self.conversions.of(self.name, self.plan.cut))
        digests = {part: [photo.sha256 for photo in split.part(part)] for part in ("train", "val")}
        wanted = [("train", view) for view in range(settings.views)] + [("val", 0)]
        dtype = settings.activations
        needed = sum(cache.bytes_to_keep(digests[part], view, dtype) for part, view in wanted)
        settings.cache_dir.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(settings.cache_dir).free
        if needed:
            self.reporter.say(f"  activations at the cut: {needed / 1e9:.2f} GB in {settings.cache_dir} "
                              f"({free / 1e9:.0f} GB free)")
        title, photos = model_info(self.name).title, sum(len(digests[part]) for part, _ in wanted)
        try:
            if needed and needed + _HELD_FREE > free:
                raise RunFolderError(f"The disk of {settings.cache_dir} has too little room for activations.")
            folders = []
            with self.reporter.progress(f"{title}: activations", photos) as advance:
                before = 0
                for part, view in wanted:
                    folders.append(str(cache.activations(digests[part], view, dtype,
                                                         partial(_shifted, advance, before)).folder))
                    before += len(digests[part])
        except RunFolderError as error:
            self.reporter.warn(f"{self.name}: {error} Every epoch computes them again ({needed / 1e9:.2f} GB were "
                               "wanted), which is several times slower.")
            return None
        self.clock.lap("activations")
        return Kept(tuple(folders[:-1]), folders[-1])

    def cut_layer(self) -> str:
        """The layer at which activations were taken."""
        return self._trunk(self.plan.cut).until

    def _trunk(self, until: str | None) -> CachedTrunk:
        return self.conversions.of(self.name, until).confirmed()

    def _cache(self, conversion: Conversion) -> FeatureCache:
        return FeatureCache(self.folder.settings.cache_dir, conversion.order.key, self.name,
                            lambda: conversion.network, self.prepared.store, conversion.confirmed, self.reporter.say,
                            self.reporter.warn)

    def _features(self, cache: FeatureCache) -> list[npt.NDArray[np.float32]]:
        """View 0 of all photos of the split, in its order; then the other views of the training photos."""
        views, title = self.folder.settings.views, model_info(self.name).title
        every = [photo.sha256 for photo in self.prepared.split.photos]
        train = [photo.sha256 for photo in self.prepared.split.part("train")]
        found = []
        with self.reporter.progress(f"{title}: features", len(every) + (views - 1) * len(train)) as advance:
            before = 0
            for view in range(views):
                digests = every if view == 0 else train
                found.append(cache.features(digests, view, partial(_shifted, advance, before)))
                before += len(digests)
        return found


def _shifted(advance: Advance, before: int, done: int, total: int) -> None:
    advance(before + done, "")
