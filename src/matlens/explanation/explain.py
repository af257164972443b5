"""Explain photos with the models of a run, and draw the grid that every run has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from matlens.data.batches import read_pixels
from matlens.data.pixels.reader import PhotoReader
from matlens.errors import DataError
from matlens.evaluation.choice import chosen_for_grid
from matlens.evaluation.predictions import Predictions
from matlens.explanation.artifact_model import ArtifactModel
from matlens.explanation.explained import ExplainedPhoto, explain_photos
from matlens.explanation.explainer import Explainer, Question
from matlens.explanation.grid import plot_explained_grid
from matlens.explanation.overlay import lay_glow
from matlens.explanation.registry import DEFAULT_METHOD, EXPLAINERS, question_for
from matlens.models.registry import spec_of
from matlens.runs.run import Run
from matlens.system.console import command
from matlens.workers.trained import trained_artifact


def explain_files(model: ArtifactModel, files: Sequence[Path], truths: Sequence[str | None], method: Explainer,
                  question: Question) -> list[ExplainedPhoto]:
    """Explain the photos in files. Raises DataError where a file cannot be read as a photo."""
    artifact = model.artifact
    reader = PhotoReader(artifact.img_size)
    photos = np.stack([reader.read(file) for file in files])
    return explain_photos(model, photos, artifact.class_names, truths, method, question, overlay=lay_glow,
                          names=[file.name for file in files])


def explain_positions(run: Run, model: ArtifactModel, predictions: Predictions, positions: Sequence[int],
                      method: Explainer, question: Question) -> list[ExplainedPhoto]:
    """Explain test photos of a run by their positions in its predictions.

    Raises:
        DataError: a photo is gone, is another one than the split names, or is none of the split's: a stranger's run
            shows nothing of this user's but photos that the stranger has.
    """
    artifact, in_split = model.artifact, {photo.path: photo for photo in run.split.photos}
    paths = [predictions.paths[index] for index in positions]
    if strangers := [path for path in paths if path not in in_split]:
        raise DataError(f"{strangers[0]} is among the predictions of {run.path} and not in its split. Make them again "
                        f"with: {command('evaluate', run.path)}")
    reader = PhotoReader(artifact.img_size, run.settings.keep_truncated)
    photos = np.concatenate(list(read_pixels(run.data_root, [in_split[path] for path in paths], reader)))
    return explain_photos(model, photos, artifact.class_names,
                          [artifact.class_names[predictions.labels[index]] for index in positions], method, question,
                          overlay=lay_glow, names=[path.rsplit("/", 1)[-1] for path in paths])


def explain_run(run: Run, name: str) -> Path:
    """Draw the grid that every run has of each model: some of its test photos, explained by Grad-CAM."""
    predictions, method = Predictions.read(run.paths.predictions_file(name)), EXPLAINERS[DEFAULT_METHOD]
    model = ArtifactModel.of_run(run, trained_artifact(run, name))
    explained = explain_positions(run, model, predictions, chosen_for_grid(predictions), method, question_for(method))
    path = run.paths.picture(name, DEFAULT_METHOD)
    plot_explained_grid(explained, method.title, spec_of(name).title, path)
    return path
