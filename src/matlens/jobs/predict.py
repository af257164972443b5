"""Predict the classes of single photos with the portable artifact."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matlens.data.pixels.reader import PhotoReader
from matlens.errors import ModelError
from matlens.features.artifact import Artifact
from matlens.runs.record import RunRecord
from matlens.runs.training_record import TrainingRecord
from matlens.system.console import printable
from matlens.system.files import checksum


def predicting_artifact(run: Path, model: str | None = None, *, int8: bool = False) -> Artifact:
    """Open the artifact of a run's model, by default of the one with the best validation accuracy.

    Args:
        run: the folder of a run, or of an artifact.
        int8: open the INT8 version.

    Raises:
        RunError: the folder is of no run, or holds no trained model.
        ModelError: the artifact is missing, damaged, or not in INT8.
    """
    if (run / "artifact.json").exists():
        artifact = Artifact.open(run)
        if int8 and artifact.precision != "int8":
            raise ModelError(f"{run} is a float32 artifact. With --int8, name the run's folder, or one that ends in "
                             ".int8.artifact.")
        return artifact
    record = RunRecord.read(run)

    def validation_accuracy(name: str) -> float:
        training = TrainingRecord.read(record, name)
        return training.history["val_accuracy"][training.best_epoch - 1]

    best = max(record.trained_models((model,) if model else None), key=validation_accuracy)
    return _int8_artifact(record, best) if int8 else Artifact.open(record.paths.artifact(best))


def _int8_artifact(run: RunRecord, model: str) -> Artifact:
    folder, way_out = run.paths.int8_artifact(model), f"matlens export {run.path} --int8 --models {model}"
    if not folder.exists():
        raise ModelError(f"{folder} is not there. Make it with: {way_out}")
    artifact, float32 = Artifact.open(folder), Artifact.open(run.paths.artifact(model))
    # Both have the same head, unless the model was trained again.
    if checksum(artifact.folder / "head.npz") != checksum(float32.folder / "head.npz"):
        raise ModelError(f"{folder} was made of an earlier training of {model}. Make it again with: {way_out}")
    return artifact


def predict_files(artifact: Artifact, files: Sequence[Path], *, as_json: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield a line for each photo, and whether it is an error: the photo could not be read."""
    for file in files:
        photo = PhotoReader(artifact.img_size).attempt(file)
        if isinstance(photo, str):
            yield (_as_json({"path": str(file), "error": photo}) if as_json
                   else printable(f"error: cannot read {file}: {photo}")), True
            continue
        probabilities = artifact.predict(photo[None].astype(np.float32) / np.float32(255))[0]
        best = int(probabilities.argmax())
        if as_json:
            yield _as_json({
                "path": str(file), "class": artifact.class_names[best], "probability": float(probabilities[best]),
                "probabilities": {name: float(value) for name, value in zip(artifact.class_names, probabilities,
                                                                           strict=True)},
                "model": artifact.model_name}), False
        else:
            words = (str(file), artifact.class_names[best], f"{probabilities[best]:.4f}")
            yield "\t".join(map(printable, words)), False


def _as_json(content: dict[str, Any]) -> str:
    """Write JSON on one line, with escapes where a name holds codes that a terminal acts on."""
    line = json.dumps(content, ensure_ascii=False)
    return line if line.isprintable() else json.dumps(content)
