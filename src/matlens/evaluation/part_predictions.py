"""A trained model's predictions of its run's test and validation parts: made once, saved, and read again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from matlens.data.split.splits import Photo, Split
from matlens.errors import DataError
from matlens.evaluation.predictions import Predictions, hash_of_photos, predict_part
from matlens.evaluation.results import Results, a_photo
from matlens.features.artifact import Artifact
from matlens.features.cache import cached_features, feature_parts, rows_of
from matlens.features.rows.chosen import ChosenRows
from matlens.runs.run import Run
from matlens.runs.training_record import TrainingRecord, note_predictor, note_seconds
from matlens.types import Array, Progress, unheard
from matlens.workers.trained import remark_on_artifact, trained_artifact


def photos_to_predict(run: Run, name: str) -> int:
    """Count the photos of the parts whose predictions are not saved yet."""
    split, outdated = run.split, are_outdated(run, name)
    return sum(len(split.part(part)) for part in ("test", "val") if (part == "test" or split.train_on == "train")
               and (outdated or not run.paths.predictions_file(name, part).exists()))


def are_outdated(run: Run, name: str) -> bool:
    """Return whether the saved predictions are those of the framework, although the artifact was confirmed since.

    Raises RunError where the record of the training is damaged.
    """
    return (run.paths.training_file(name).exists() and TrainingRecord.read(run, name).predicted_by == "framework"
            and not remark_on_artifact(run, name))


@dataclass(frozen=True)
class SavedPredictions:
    """A file of predictions of a part. split_file: of the run that it belongs to, if it belongs to one."""

    file: Path
    split_file: Path | None = None
    part: str = "test"

    def read(self) -> Predictions:
        """Read it; what files of earlier versions do not say of the photos is taken from the split, if it can be read.

        Raises ResultsError.
        """
        predictions = Predictions.read(self.file)
        if predictions.knows_content or self.split_file is None:
            return predictions
        try:
            return predictions.with_photos_of(Split.read(self.split_file), self.part)
        except DataError:  # nothing says then that the photos are those of other predictions
            return predictions


def with_photos(results: Iterable[Results], split_file: Path) -> list[Results]:
    """Return the results of a run; `photos_hash`, which earlier versions do not write, is worked out from its split."""
    given = list(results)
    if all(judged.photos_hash for judged in given):
        return given
    try:
        split = Split.read(split_file)
    except DataError:
        return given
    photos = hash_of_photos((photo.sha256, photo.class_name) for photo in split.part("test"))
    return [judged if judged.photos_hash or judged.split_hash != split.hash
            else dataclasses.replace(judged, photos_hash=photos) for judged in given]


@dataclass(frozen=True)
class PartPredictions:
    """The predictions of one model of a run.

    training: what `<name>_training.json` holds. on_progress: called with (photos done, photos to predict in all).
    outdated: whether predictions that are saved are made again.
    """

    run: Run
    name: str
    training: TrainingRecord
    on_progress: Progress = unheard
    outdated: bool = False

    def test(self) -> Predictions:
        """Return those of the test part. Raises DataError, ModelError or ResultsError."""
        return self._saved("test") or self._made("test", 0)

    def validation(self, done: int = 0) -> tuple[Predictions | None, str]:
        """Return those of the validation part; or None, and why there are none.

        done: photos that were predicted before.
        """
        if self.run.split.train_on == "train+val":
            return None, "The validation photos were trained on, so no temperature can be fitted on them."
        try:
            return self._saved("val") or self._made("val", done), ""
        except DataError as error:  # the test part's predictions may be there, and its photos gone
            return None, f"The validation photos could not be predicted: {error}"

    def _saved(self, part: str) -> Predictions | None:
        """Read saved predictions. None where there are none, or where they are of other photos than the split's.

        What files of earlier versions do not say of the photos is taken from the split.
        """
        file = self.run.paths.predictions_file(self.name, part)
        if self.outdated or not file.exists():
            return None
        predictions = Predictions.read(file)
        if predictions.paths != tuple(photo.path for photo in self.run.split.part(part)):
            return None
        return predictions.with_photos_of(self.run.split, part)

    def _made(self, part: str, before: int) -> Predictions:
        """Predict a part's photos, and save what came out."""
        split, total = self.run.split, photos_to_predict(self.run, self.name) + before * (not self.outdated)
        predictions = predict_part(self._artifact, split, self.run.data_root, part=part,
                                   keep_truncated=self.run.settings.keep_truncated,
                                   features=self.features(split.part(part)),
                                   on_progress=lambda done, _: self.on_progress(before + done, total))
        if part == "test":
            note_seconds(self.run, self.name, a_photo(predictions.photos_per_second))
        return Predictions.read(predictions.write(self.run.paths.predictions_file(self.name, part)))

    @cached_property
    def _artifact(self) -> Artifact:
        return trained_artifact(self.run, self.name)

    def note_predictor(self) -> None:
        """Record what made the predictions, once both parts have theirs, if any were made now."""
        if "_artifact" in vars(self):
            note_predictor(self.run, self.name, "framework" if self._artifact.unconfirmed else "artifact")

    def features(self, photos: Sequence[Photo]) -> Array | None:
        """Return the features (N, K) of these photos that the training computed, if the cache still has them."""
        rows = self.feature_rows(photos)
        return None if rows is None else rows[np.arange(len(photos))]

    def feature_rows(self, photos: Sequence[Photo]) -> ChosenRows | None:
        """Return the same without a copy: rows are read from the cache when they are asked for."""
        if not self.training.features_key:
            return None
        split = self.run.split
        digests = feature_parts(split, 1, pooled=True)[0].digests
        features = cached_features(self.run.settings.cache_dir, self.training.features_key, len(digests))
        return None if features is None else ChosenRows(features, rows_of(photos, digests))
