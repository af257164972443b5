"""Say what single photos show, from the portable artifact."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matlens.data.pixels.reader import PhotoReader
from matlens.errors import ModelError
from matlens.features.artifact import Artifact
from matlens.runs.run import Run
from matlens.system.console import printable
from matlens.system.files import checksum
from matlens.training.record import TrainingRecord


def predicting_artifact(run: Path, model: str | None = None, *, int8: bool = False) -> Artifact:
    """The artifact of a run's model, by default of the one with the best validation accuracy.

    `run` may also be an artifact's own folder. Raises RunError or ModelError.
    """
    if (run / "artifact.json").exists():
        artifact = Artifact.open(run)
        if int8 and artifact.precision != "int8":
            raise ModelError(f"{run} is a float32 artifact. With --int8, name the run's folder, or one that ends in "
                             ".int8.artifact.")
        return artifact
    folder = Run.open(run)
    names = folder.trained_models((model,) if model else None)

    def validation_accuracy(name: str) -> float:
        record = TrainingRecord.read(folder, name)
        return record.history["val_accuracy"][record.best_epoch - 1]

    best = max(names, key=validation_accuracy)
    return _int8_artifact(folder, best) if int8 else Artifact.open(folder.paths.artifact(best))


def _int8_artifact(folder: Run, name: str) -> Artifact:
    found, way_out = folder.paths.int8_artifact(name), f"matlens export {folder.path} --int8 --models {name}"
    if not found.exists():
        raise ModelError(f"{found} is not there. Make it with: {way_out}")
    artifact, float32 = Artifact.open(found), Artifact.open(folder.paths.artifact(name))
    # The head is a copy: where it is another one by now, the model was trained again.
    if checksum(artifact.folder / "head.npz") != checksum(float32.folder / "head.npz"):
        raise ModelError(f"{found} was made of an earlier training of {name}. Make it again with: {way_out}")
    return artifact


def predict_files(artifact: Artifact, files: Sequence[Path], *, as_json: bool = False) -> Iterator[tuple[str, bool]]:
    """A line for each photo, and whether it tells of a photo that could not be read."""
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
    """On a line, in plain letters where a name would do something to the terminal."""
    line = json.dumps(content, ensure_ascii=False)
    return line if line.isprintable() else json.dumps(content)
