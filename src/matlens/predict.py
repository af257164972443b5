"""Say what single photos show, from the portable artifact."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from matlens.data.decode import UnreadableImageError, read_photo
from matlens.features.artifact import Artifact
from matlens.files import read_json
from matlens.training.run_folder import RunFolder


def predicting_artifact(run: Path, model: str | None = None) -> Artifact:
    """The artifact of a run's model, by default of the one with the best validation accuracy.

    `run` may also be an artifact's own folder. Raises RunFolderError or ModelError.
    """
    if (run / "artifact.json").exists():
        return Artifact.open(run)
    folder = RunFolder.open(run)
    names = folder.trained_models((model,) if model else None)

    def validation_accuracy(name: str) -> float:
        record = read_json(folder.training_file(name))
        return float(record["history"]["val_accuracy"][record["best_epoch"] - 1])

    return Artifact.open(folder.artifact(max(names, key=validation_accuracy)))


def predict_files(artifact: Artifact, files: Sequence[Path], *, as_json: bool = False) -> Iterator[tuple[str, bool]]:
    """A line for each photo, and whether it tells of a photo that could not be read."""
    for file in files:
        try:
            photo = read_photo(file, artifact.img_size)
        except UnreadableImageError as error:
            yield (json.dumps({"path": str(file), "error": str(error)}, ensure_ascii=False) if as_json
                   else f"error: cannot read {file}: {error}"), True
            continue
        probabilities = artifact.predict(photo[None].astype(np.float32) / np.float32(255))[0]
        best = int(probabilities.argmax())
        if as_json:
            yield json.dumps({
                "path": str(file), "class": artifact.class_names[best], "probability": float(probabilities[best]),
                "probabilities": {name: float(value) for name, value in zip(artifact.class_names, probabilities,
                                                                           strict=True)},
                "model": artifact.model_name}, ensure_ascii=False), False
        else:
            yield f"{file}\t{artifact.class_names[best]}\t{probabilities[best]:.4f}", False
