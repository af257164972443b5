"""A trained model's predictions of its run's test and validation parts: made once, saved, and read again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from matlens.errors import DataError
from matlens.evaluation.predictions import Predictions, predict_part
from matlens.evaluation.results import a_photo
from matlens.features.artifact import Artifact
from matlens.features.cache import cached_features, feature_parts, rows_of
from matlens.runs.run import Run
from matlens.runs.training_record import TrainingRecord, note_seconds
from matlens.types import Progress


def photos_to_predict(folder: Run, name: str) -> int:
    """Photos of those parts whose predictions are not there."""
    split = folder.split
    return sum(len(split.part(part)) for part in ("test", "val") if (part == "test" or split.train_on == "train")
               and not folder.paths.predictions_file(name, part).exists())


@dataclass(frozen=True)
class PartPredictions:
    """training: what `<name>_training.json` holds. on_progress: (photos done, photos to predict in all)."""

    folder: Run
    name: str
    training: TrainingRecord
    on_progress: Progress = lambda done, total: None

    def test(self) -> Predictions:
        """Of the test part. Raises DataError, ModelError or ResultsError."""
        return self._saved("test") or self._made("test", 0)

    def validation(self, done: int = 0) -> tuple[Predictions | None, str]:
        """Of the validation part; or None, and why there are none. `done`: photos that were predicted before."""
        if self.folder.split.train_on == "train+val":
            return None, "The validation photos were trained on, so no temperature can be fitted on them."
        try:
            return self._saved("val") or self._made("val", done), ""
        except DataError as error:  # the test part's predictions may be there, and its photos gone
            return None, f"The validation photos could not be predicted: {error}"

    def _saved(self, part: str) -> Predictions | None:
        """None where they are not there, or of other photos than the split's."""
        file = self.folder.paths.predictions_file(self.name, part)
        found = Predictions.read(file) if file.exists() else None
        return found if found and found.paths == tuple(photo.path for photo in self.folder.split.part(part)) else None

    def _made(self, part: str, before: int) -> Predictions:
        split, total = self.folder.split, photos_to_predict(self.folder, self.name) + before
        found = predict_part(self._artifact, split, self.folder.data_root, part=part,
                             keep_truncated=self.folder.settings.keep_truncated, features=self._kept_features(part),
                             on_progress=lambda done, _: self.on_progress(before + done, total))
        if part == "test":
            note_seconds(self.folder, self.name, a_photo(found.photos_per_second))
        return Predictions.read(found.write(self.folder.paths.predictions_file(self.name, part)))

    @cached_property
    def _artifact(self) -> Artifact:
        return Artifact.open(self.folder.paths.artifact(self.name))

    def _kept_features(self, part: str) -> npt.NDArray[np.float32] | None:
        """The features of a part's photos from the training, if they are still kept."""
        if not self.training.features_key:
            return None
        split = self.folder.split
        digests = feature_parts(split, 1, pooled=True)[0].digests
        every = cached_features(self.folder.settings.cache_dir, self.training.features_key, len(digests))
        return None if every is None else every[rows_of(split.part(part), digests)]
