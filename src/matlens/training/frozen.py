"""Train on what a frozen trunk, or the front of one, makes of the photos: computed once, kept, and shared by runs."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from matlens.data.prepare import Prepared
from matlens.errors import CacheError, ModelError
from matlens.features.artifact import assemble_artifact
from matlens.features.cache import FeatureCache, Wanted, feature_parts, rows_of
from matlens.features.engine import Engine, PhotoEngine
from matlens.features.model_file import write_model_file
from matlens.features.trunks import CachedTrunk
from matlens.models.head import Head
from matlens.models.registry import spec_of
from matlens.runs.run import Run
from matlens.system.child import run_child
from matlens.system.console import Advance, Reporter
from matlens.system.files import write_json
from matlens.system.resources import has_nvidia_gpu
from matlens.training.checkpoints import checkpoints_of, forget_states
from matlens.training.conversion import Conversion, TrunkConversions
from matlens.training.feature_batches import FeatureBatches
from matlens.training.head_training import HeadTrainer
from matlens.training.history import History
from matlens.training.loop import fit
from matlens.training.plan import Plan
from matlens.training.progress import Resumption, ShownProgress
from matlens.training.record import Clock, about_model, training_record
from matlens.types import Progress

Computed = TypeVar("Computed")

_APART = 2.0
"""Seconds between two states of a head's training: an epoch may take less than a state takes to be written."""

_HELD_FREE = 1e9
"""Bytes that activations leave free on the disk."""


@dataclass(frozen=True)
class Kept:
    """Activations for a training from a cut on: folders, of the training photos one for each view."""

    train: tuple[str, ...]
    val: str


@dataclass(frozen=True)
class TrainedHead:
    """A head, and the key of the features (of view 0) that it was trained on."""

    history: History
    head: Head
    features_key: str


@dataclass(frozen=True)
class FrozenTraining:
    """One model's training on kept features. Needs no framework until something inside the trunk is trained."""

    folder: Run
    name: str
    prepared: Prepared
    conversions: TrunkConversions
    plan: Plan
    reporter: Reporter
    clock: Clock = dataclasses.field(default_factory=Clock)

    def train_head(self) -> TrainedHead:
        """Train the head on averaged features and leave the model file."""
        settings, split, info = self.folder.settings, self.prepared.split, spec_of(self.name)
        assert info.head is not None
        conversion = self.conversions.of(self.name, None)
        wanted = feature_parts(split, settings.views, pooled=True)
        cache = self._cache(conversion, self._in_framework(conversion, wanted))
        views = self._computed("features", wanted, lambda each, heard: cache.features(each.digests, each.view, heard))
        self.clock.lap("features")

        def batches(part: str, varied: Sequence[npt.NDArray[np.float32]]) -> FeatureBatches:
            photos = split.part(part)
            return FeatureBatches((views[0][rows_of(photos, wanted[0].digests)], *varied), split.labels(photos),
                                  len(split.class_names), settings.batch_size, settings.seed, shuffle=part == "train")

        train, val = batches("train", views[1:]), batches("val", [])
        trainer = HeadTrainer.fresh(views[0].shape[1], info.head.hidden_units, len(split.class_names),
                                    info.head.dropout, info.head.learning_rate, settings.seed)
        epochs = settings.epochs(self.name)
        listener = Resumption(self.folder, self.name, self.reporter)
        states = checkpoints_of(self.folder, self.name, listener, conversion.order.key, _APART).of("head", trainer)
        with self.reporter.progress(info.title, len(train) * epochs) as advance:
            history = fit(trainer, train, val, ShownProgress(self.reporter, advance, len(train)), epochs=epochs,
                          early_stopping_patience=settings.early_stopping_patience,
                          reduce_lr_patience=settings.reduce_lr_patience,
                          history=History(keep_last=split.train_on == "train+val"), states=states)
        head = trainer.head()
        write_model_file(conversion.confirmed().model_template, head, self.folder.paths.model_file(self.name),
                         about_model(self.name, split, settings))
        self.clock.lap("head" if self.plan.cut else "train", sum(epoch.seconds for epoch in history))
        return TrainedHead(history, head, cache.key(wanted[0].digests))

    def finish(self, trained: TrainedHead, weights_file: Path, remarks: Sequence[str]) -> None:
        """Leave the artifact and, last, the record of a training that was of the head alone."""
        settings, split, trunk = self.folder.settings, self.prepared.split, self._trunk(None)
        artifact = assemble_artifact(self.folder.paths.artifact(self.name), trunk, trained.head, self.name,
                                     split.class_names, settings.img_size)
        self.clock.lap("export")
        write_json(self.folder.paths.training_file(self.name), training_record(
            self.name, trained.history, split, artifact, self.clock.seconds, parameters=trunk.parameters,
            weights_file=weights_file, remarks=remarks, versions=trunk.versions, views=settings.views,
            features_key=trained.features_key))
        forget_states(self.folder.paths, self.name)

    def keep_activations(self) -> Kept | None:
        """Compute activations at the cut, or find those that are kept; None, with a warning, where there is no room."""
        settings, dtype = self.folder.settings, self.folder.settings.activations
        conversion = self.conversions.of(self.name, self.plan.cut)
        wanted = feature_parts(self.prepared.split, settings.views, pooled=False)
        cache = self._cache(conversion, self._wants_framework)
        needed = sum(cache.bytes_to_keep(each.digests, each.view, dtype) for each in wanted)
        settings.cache_dir.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(settings.cache_dir).free
        if needed:
            self.reporter.say(f"  activations at the cut: {needed / 1e9:.2f} GB in {settings.cache_dir} "
                              f"({free / 1e9:.0f} GB free)")
        try:
            if needed and needed + _HELD_FREE > free:
                raise CacheError(f"The disk of {settings.cache_dir} has too little room for activations.")
            cache = self._cache(conversion, self._in_framework(conversion, wanted))
            kept = self._computed("activations", wanted, lambda each, heard: cache.activations(
                each.digests, each.view, dtype, heard))
        except CacheError as error:
            self.reporter.warn(f"{self.name}: {error} Every epoch computes them again ({needed / 1e9:.2f} GB were "
                               "wanted), which is several times slower.")
            return None
        self.clock.lap("activations")
        *train, val = (str(each.folder) for each in kept)
        return Kept(tuple(train), val)

    def cut_layer(self) -> str:
        """The layer at which activations were taken."""
        return self._trunk(self.plan.cut).until

    def _trunk(self, until: str | None) -> CachedTrunk:
        return self.conversions.of(self.name, until).confirmed()

    def _cache(self, conversion: Conversion, by_framework: bool = False) -> FeatureCache:
        def engine(pooled: bool) -> Engine:
            size = self.folder.settings.img_size
            try:
                return PhotoEngine(conversion.network / "trunk.xml", size, pooled=pooled)
            except ModelError:  # a draft may have been confirmed, and so removed, before it was read
                return PhotoEngine(conversion.confirmed().folder / "trunk.xml", size, pooled=pooled)

        return FeatureCache(self.folder.settings.cache_dir, conversion.order.key, self.name, self.prepared.store,
                            engine, "framework" if by_framework else "openvino", conversion.confirmed,
                            self.reporter.say, self.reporter.warn)

    def _computed(self, what: str, wanted: Sequence[Wanted], compute: Callable[[Wanted, Progress], Computed],
                  ) -> list[Computed]:
        """What `compute` makes of each view, in their order, under one bar of progress."""
        found, before = [], 0
        with self._progress(what, wanted) as advance:
            for each in wanted:
                found.append(compute(each, partial(_shifted, advance, before)))
                before += len(each.digests)
        return found

    @cached_property
    def _wants_framework(self) -> bool:
        choice = self.folder.settings.features_on
        return choice == "framework" or (choice == "auto" and has_nvidia_gpu())

    def _in_framework(self, conversion: Conversion, wanted: Sequence[Wanted]) -> bool:
        """Have features computed by the model's framework, if that is asked for or it has a GPU; whether it did."""
        settings, pooled = self.folder.settings, conversion.order.until is None
        if not self._wants_framework:
            return False
        task = {"order": conversion.order.to_json(), "run_dir": str(self.folder.path.resolve()),
                "store": str(self.prepared.store.folder.resolve()), "gpu_only": settings.features_on == "auto"}
        with self._progress("features" if pooled else "activations", wanted) as advance:
            run_child("features", task, self.folder.paths.log_file(self.name), lambda event: advance(event["done"], ""))
        cache, kind = self._cache(conversion, True), settings.activations
        return all(cache.keeps(each.digests, each.view, "pooled" if pooled else kind) for each in wanted)

    def _progress(self, what: str, wanted: Sequence[Wanted]) -> AbstractContextManager[Advance]:
        photos = sum(len(each.digests) for each in wanted)
        return self.reporter.progress(f"{spec_of(self.name).title}: {what}", photos)


def _shifted(advance: Advance, before: int, done: int, total: int) -> None:
    advance(before + done, "")
