"""The models that a server answers with: the artifacts of runs, opened once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from matlens.data.pixels.values import as_floats
from matlens.errors import MatlensError, ModelError, ResultsError
from matlens.evaluation.results import Results
from matlens.explanation.artifact_model import ArtifactModel
from matlens.explanation.explainer import Question
from matlens.explanation.galleries import heat_png
from matlens.explanation.registry import DEFAULT_METHOD, EXPLAINERS
from matlens.features.artifact import Artifact
from matlens.jobs.answers import AnswerOptions, answers_from, predicted
from matlens.models.registry import spec_of
from matlens.runs.names import distinct_names
from matlens.runs.record import RunRecord
from matlens.serving.nearest import RunPhotos, nearest_to
from matlens.system.console import command
from matlens.types import Pixels


@dataclass(frozen=True)
class ServedModel:
    """A model under the name by which it is asked for.

    accuracy: on its run's test part, where that is known. photos: of its run; None without a run.
    """

    name: str
    artifact: Artifact
    accuracy: float | None = None
    photos: RunPhotos | None = None

    def warm_up(self) -> None:
        """Compile the network and read all else, so that the first answer need not wait. Raises ModelError."""
        artifact = self.artifact
        blank = np.zeros((1, *artifact.img_size, 3), np.float32)
        self._answered(blank, [AnswerOptions()])

    def answers(self, photos: Sequence[Pixels], questions: Sequence[AnswerOptions]) -> list[dict[str, Any]]:
        """Answer photos (H, W, 3) uint8 of the model's size, each by its question, as `answers_to` does."""
        return self._answered(as_floats(np.stack(photos)), questions)

    def _answered(self, images: Any, questions: Sequence[AnswerOptions]) -> list[dict[str, Any]]:
        artifact = self.artifact
        own, features = predicted(artifact, images)
        answered: dict[int, dict[str, Any]] = {}
        for question in dict.fromkeys(questions):  # most ask the same, and are answered at once
            rows = [row for row, asked in enumerate(questions) if asked == question]
            answers = answers_from(artifact, own[rows], None if features is None else features[rows], question)
            answered |= dict(zip(rows, answers, strict=True))
        return [answered[row] for row in range(len(questions))]

    def heat(self, photo: Pixels, class_name: str | None) -> dict[str, Any]:
        """Explain a photo (H, W, 3) uint8: the class, and a PNG in base64 to be laid over the photo.

        `heat` is None where the model's features tell of no places, or nothing speaks for the class.

        class_name: one of the model's; by default the one that the network answers.
        """
        names, method = self.artifact.class_names, EXPLAINERS[DEFAULT_METHOD]
        target = None if class_name is None else names.index(class_name)
        maps, probabilities = method.maps(ArtifactModel(self.artifact), photo[None], Question(target))
        number = int(probabilities[0].argmax()) if target is None else target
        tells = self.artifact.head.tells_of_places and maps[0].size > 1 and float(maps[0].max()) > 0
        return {"model": self.name, "class": names[number], "method": method.name, "title": method.title,
                "heat": heat_png(maps[0]) if tells else None}

    def nearest(self, photo: Pixels) -> dict[str, Any]:
        """Find the training photos that are most like a photo (H, W, 3) uint8, see `nearest.nearest_to`."""
        return {"model": self.name, **nearest_to(self.artifact, photo)}

    def about(self) -> dict[str, Any]:
        """Describe the model for `/v1/models`."""
        artifact = self.artifact
        calibrator, novelty = artifact.calibrator, artifact.novelty
        return {"name": self.name, "model": artifact.model_name, "title": _title(artifact.model_name),
                "classes": list(artifact.class_names), "img_size": list(artifact.img_size),
                "precision": artifact.precision, "test_accuracy": self.accuracy,
                "calibration": calibrator.title if calibrator else None,
                "tells_unknown": novelty is not None,
                "tells_nearest": novelty is not None and novelty.training is not None}


def open_models(places: Sequence[Path], warn: Callable[[str], None]) -> list[ServedModel]:
    """Open the artifacts of runs, or artifacts' own folders; a run's that cannot be opened are warned of.

    Raises:
        RunError: a folder is of no run, or holds no trained model.
        ModelError: none of a run's artifacts can be opened.
    """
    names = distinct_names(places)
    served: list[ServedModel] = []
    for place, title in names.items():
        if (place / "artifact.json").exists():
            served.append(ServedModel(title.removesuffix(".artifact"), Artifact.open(place),
                                      photos=RunPhotos.of_artifact(place)))
            continue
        opened = _of_run(RunRecord.read(place), warn)
        served += [replace(each, name=f"{title}/{each.name}") if len(names) > 1 else each for each in opened]
    return served


def _of_run(run: RunRecord, warn: Callable[[str], None]) -> list[ServedModel]:
    opened, reasons, photos = [], [], RunPhotos.of_run(run)
    names = [name for name in run.model_names if run.paths.training_file(name).exists()]
    for name in names or run.trained_models():  # which says that there is none, and how to train
        try:
            opened.append(ServedModel(name, Artifact.open(run.paths.artifact(name)), _accuracy(run, name), photos))
        except MatlensError as error:
            reasons.append(str(error))
    if not opened:
        raise ModelError(f"{run.path} holds no artifact that can be opened, and that is what is served. "
                         f"{' '.join(reasons)} Make them with: {command('export', run.path)}")
    for reason in reasons:
        warn(f"One of the models is not served. {reason}")
    return opened


def _accuracy(run: RunRecord, name: str) -> float | None:
    try:
        return Results.read(run.paths.results_file(name)).accuracy
    except ResultsError:  # it was not judged, or the page of the run says what is wrong with it
        return None


def _title(model_name: str) -> str:
    try:
        return spec_of(model_name).title
    except MatlensError:  # a plug-in's that is not here, which an artifact does not need
        return model_name
