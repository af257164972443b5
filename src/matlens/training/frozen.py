"""Train a transfer model whose trunk is frozen: features once, then the head on them. Needs no framework."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from matlens.console import Advance, Reporter
from matlens.data.prepare import Prepared
from matlens.features.artifact import assemble_artifact
from matlens.features.cache import FeatureCache
from matlens.features.model_file import write_model_file
from matlens.features.trunks import CachedTrunk
from matlens.files import write_json
from matlens.models.catalogue import model_info
from matlens.training.head_training import FeatureBatches, HeadTrainer
from matlens.training.loop import fit
from matlens.training.progress import ShownProgress
from matlens.training.record import Clock, about_model, training_record
from matlens.training.run_folder import RunFolder


def train_frozen(folder: RunFolder, name: str, prepared: Prepared, trunk: CachedTrunk, weights_file: Path,
                 remarks: Sequence[str], reporter: Reporter) -> None:
    """Train one model and leave model file, artifact and, last, the record of its training, as the plain way does."""
    settings, split, info = folder.settings, prepared.split, model_info(name)
    head_info = info.transfer_head
    assert head_info is not None
    clock = Clock()
    cache = FeatureCache(settings.cache_dir, trunk, prepared.store, reporter)
    views = _features(cache, prepared, settings.views, info.title, reporter)
    clock.lap("features")

    part_of = np.array([photo.part for photo in split.photos])
    labels = split.labels(split.photos)

    def batches(part: str, of_part: Sequence[npt.NDArray[np.float32]]) -> FeatureBatches:
        return FeatureBatches(tuple(of_part), labels[part_of == part], len(split.class_names), settings.batch_size,
                              settings.seed, shuffle=part == "train")

    train = batches("train", [views[0][part_of == "train"], *views[1:]])
    val = batches("val", [views[0][part_of == "val"]])
    trainer = HeadTrainer.fresh(views[0].shape[1], head_info.hidden_units, len(split.class_names), head_info.dropout,
                                head_info.learning_rate, settings.seed)
    epochs = settings.epochs(name)
    with reporter.progress(info.title, len(train) * epochs) as advance:
        history = fit(trainer, train, val, ShownProgress(reporter, advance, len(train)), epochs=epochs,
                      early_stopping_patience=settings.early_stopping_patience,
                      reduce_lr_patience=settings.reduce_lr_patience)
    clock.lap("train")
    write_model_file(trunk.model_template, trainer.head(), folder.model_file(name), about_model(name, split, settings))
    artifact = assemble_artifact(folder.artifact(name), trunk, trainer.head(), name, split.class_names,
                                 settings.img_size)
    clock.lap("export")
    write_json(folder.training_file(name), training_record(
        name, history, split, artifact, clock, parameters=trunk.parameters, weights_file=weights_file, remarks=remarks,
        versions=trunk.versions, views=settings.views,
        features_key=cache.key([photo.sha256 for photo in split.photos])))


def _features(cache: FeatureCache, prepared: Prepared, views: int, title: str, reporter: Reporter,
              ) -> list[npt.NDArray[np.float32]]:
    """View 0 of all photos of the split, in its order; then the other views of the training photos."""
    every = [photo.sha256 for photo in prepared.split.photos]
    train = [photo.sha256 for photo in prepared.split.part("train")]
    found = []
    with reporter.progress(f"{title}: features", len(every) + (views - 1) * len(train)) as advance:
        before = 0
        for view in range(views):
            digests = every if view == 0 else train
            found.append(cache.features(digests, view, partial(_shifted, advance, before)))
            before += len(digests)
    return found


def _shifted(advance: Advance, before: int, done: int, total: int) -> None:
    advance(before + done, "")
