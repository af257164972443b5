"""Choose photos, explain what a model saw in them, and draw the grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from matlens.data.decode import UnreadableImageError, read_photo
from matlens.errors import DataError
from matlens.evaluation.predictions import Predictions
from matlens.explanation.displays import plot_gradcam_grid
from matlens.explanation.gradcam import heatmaps, overlay_heatmap
from matlens.features.artifact import Artifact
from matlens.models.catalogue import model_info
from matlens.models.head import softmax
from matlens.training.run_folder import RunFolder

GRID_PHOTOS = 12


@dataclass(frozen=True)
class Explained:
    """A photo (H, W, 3) uint8, the overlay of its heat map, and what the model said; truth None if unknown.

    places: (h, w) of the feature map. With 1 x 1 there is nothing to locate, and the overlay is the photo.
    """

    photo: npt.NDArray[np.uint8]
    overlay: npt.NDArray[np.uint8]
    predicted: str
    probability: float
    places: tuple[int, int]
    truth: str | None = None


def explain_files(artifact: Artifact, files: Sequence[Path], truths: Sequence[str | None], *,
                  keep_truncated: bool = False) -> list[Explained]:
    """Explain the predicted class of each photo. One forward pass gives the answer and the heat map.

    Raises:
        DataError: a file cannot be read as a photo.
    """
    photos = []
    for file in files:
        try:
            photos.append(read_photo(file, artifact.img_size, keep_truncated=keep_truncated))
        except UnreadableImageError as error:
            raise DataError(f"Cannot read {file}: {error}") from error
    images = np.stack(photos).astype(np.float32) / np.float32(255)
    features = artifact.trunk.features(images)
    values = artifact.head.forward(features)
    probabilities = artifact.predict(images, softmax(values[-1]))
    classes = probabilities.argmax(axis=1)
    maps = heatmaps(features, artifact.head, classes, values)
    height, width = features.shape[1:3]
    return [Explained(photo, overlay_heatmap(heat, photo) if height * width > 1 else photo,
                      artifact.class_names[number], float(row[number]), (height, width), truth)
            for photo, heat, number, row, truth in zip(photos, maps, classes, probabilities, truths, strict=True)]


def chosen_for_grid(predictions: Predictions, n: int = GRID_PHOTOS) -> list[int]:
    """Positions of up to `n` test photos: half of them mistakes if there are so many, classes in turn.

    Inside a class the most confident answer comes first. The same predictions give the same choice.
    """
    confidence = predictions.probabilities.max(axis=1)
    wrong = predictions.predicted != predictions.labels
    chosen = _in_turn(np.flatnonzero(wrong), predictions.labels, confidence)[: n // 2]
    chosen += _in_turn(np.flatnonzero(~wrong), predictions.labels, confidence)[: n - len(chosen)]
    if len(chosen) < n:
        rest = _in_turn(np.flatnonzero(wrong), predictions.labels, confidence)
        chosen += [index for index in rest if index not in chosen][: n - len(chosen)]
    return sorted(chosen, key=lambda index: (wrong[index], predictions.labels[index]))


def _in_turn(candidates: npt.NDArray[np.int64], labels: npt.NDArray[np.int64],
             confidence: npt.NDArray[np.float32]) -> list[int]:
    by_class: dict[int, list[int]] = {}
    for index in sorted(candidates.tolist(), key=lambda i: -confidence[i]):
        by_class.setdefault(int(labels[index]), []).append(index)
    turns = [(turn, label, index) for label, indices in by_class.items() for turn, index in enumerate(indices)]
    return [index for _, _, index in sorted(turns)]


def explain_run(folder: RunFolder, name: str) -> Path:
    """Draw the Grad-CAM grid of a model over test photos of its run."""
    split = folder.split
    predictions = Predictions.read(folder.predictions_file(name))
    chosen = chosen_for_grid(predictions)
    explained = explain_files(Artifact.open(folder.artifact(name)),
                              [folder.data_root / predictions.paths[index] for index in chosen],
                              [split.class_names[predictions.labels[index]] for index in chosen],
                              keep_truncated=folder.settings.keep_truncated)
    path = folder.picture(name, "gradcam")
    plot_gradcam_grid(explained, model_info(name).title, save_path=path)
    return path


def explain_images(folder: RunFolder, name: str, images: Sequence[Path]) -> Path:
    """Draw the Grad-CAM grid of a model over any photos, as reports/<name>_gradcam_images.png."""
    explained = explain_files(Artifact.open(folder.artifact(name)), images, [None] * len(images))
    path = folder.picture(name, "gradcam_images")
    plot_gradcam_grid(explained, model_info(name).title, save_path=path)
    return path
