"""Explain what a model saw in photos, and draw the grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from matlens.data.pixels.reader import PhotoReader
from matlens.evaluation.choice import chosen_for_grid
from matlens.evaluation.predictions import Predictions
from matlens.explanation.displays import plot_gradcam_grid
from matlens.explanation.gradcam import heatmaps, overlay_heatmap
from matlens.explanation.methods import MethodName
from matlens.features.artifact import Artifact
from matlens.models.head import Score, softmax
from matlens.models.registry import spec_of
from matlens.runs.run import Run
from matlens.types import Array, Pixels

AtLayer = Callable[[Pixels, npt.NDArray[np.int64]], Array]
"""(photos (N, H, W, 3) uint8, classes (N,)) to heat maps (N, h, w) at some layer."""

_BATCH = 16


@dataclass(frozen=True)
class How:
    """How to explain photos.

    target: the class to explain; by default each photo's answer.
    at_layer: makes the maps in the head's stead, at another layer, of the class logit.
    """

    method: MethodName = "gradcam"
    score: Score = "logit"
    target: int | None = None
    at_layer: AtLayer | None = None

    def classes(self, probabilities: Array) -> npt.NDArray[np.int64]:
        """The class to explain for each photo (B,), from its probabilities (B, C)."""
        if self.target is None:
            return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)
        return np.full(len(probabilities), self.target, dtype=np.int64)


_PLAIN = How()


@dataclass(frozen=True)
class Explained:
    """A photo (H, W, 3) uint8, the overlay of its heat map, and what the model said; truth None if unknown.

    places: (h, w) of the feature map. With 1 x 1 there is nothing to locate, and the overlay is the photo.
    heat: (h, w) float32 in [0, 1], the heat map itself.
    """

    photo: Pixels
    overlay: Pixels
    predicted: str
    probability: float
    places: tuple[int, int]
    truth: str | None = None
    heat: Array | None = None


def heat_of(artifact: Artifact, photos: Pixels, how: How = _PLAIN) -> tuple[Array, Array]:
    """Heat maps and answers, from one forward pass.

    Args:
        photos: (N, H, W, 3) uint8.

    Returns:
        Heat maps (N, h, w) float32 in [0, 1] and probabilities (N, C) float32.
    """
    maps, probabilities = [], []
    for start in range(0, len(photos), _BATCH):
        images = photos[start:start + _BATCH].astype(np.float32) / np.float32(255)
        features = artifact.trunk.features(images)
        values = artifact.head.forward(features)
        probabilities.append(artifact.predict(images, softmax(values[-1])))
        if how.at_layer is None:
            classes = how.classes(probabilities[-1])
            maps.append(heatmaps(features, artifact.head, classes, values, how.method, how.score))
    found = np.concatenate(probabilities)
    return np.concatenate(maps) if how.at_layer is None else how.at_layer(photos, how.classes(found)), found


def explain_files(artifact: Artifact, files: Sequence[Path], truths: Sequence[str | None], how: How = _PLAIN, *,
                  keep_truncated: bool = False) -> list[Explained]:
    """Explain photos, by default the predicted class of each.

    Raises:
        DataError: a file cannot be read as a photo.
    """
    photos = np.stack([read_for(artifact, file, keep_truncated=keep_truncated) for file in files])
    maps, probabilities = heat_of(artifact, photos, how)
    height, width = maps.shape[1:]
    return [Explained(photo, overlay_heatmap(heat, photo) if height * width > 1 else photo,
                      artifact.class_names[row.argmax()], float(row.max()), (height, width), truth, heat)
            for photo, heat, row, truth in zip(photos, maps, probabilities, truths, strict=True)]


def read_for(artifact: Artifact, file: Path, *, keep_truncated: bool = False) -> Pixels:
    """A photo as the model takes it, (H, W, 3) uint8. Raises DataError."""
    return PhotoReader(artifact.img_size, keep_truncated).read(file)


def explain_run(folder: Run, name: str) -> Path:
    """Draw the Grad-CAM grid of a model over test photos of its run."""
    predictions = Predictions.read(folder.paths.predictions_file(name))
    explained = explain_positions(folder, Artifact.open(folder.paths.artifact(name)), predictions,
                                  chosen_for_grid(predictions))
    path = folder.paths.picture(name, "gradcam")
    plot_gradcam_grid(explained, spec_of(name).title, save_path=path)
    return path


def explain_positions(folder: Run, artifact: Artifact, predictions: Predictions, positions: Sequence[int],
                      how: How = _PLAIN) -> list[Explained]:
    """Explain test photos of a run by their positions; see `explain_files`."""
    return explain_files(artifact, [folder.data_root / predictions.paths[index] for index in positions],
                         [artifact.class_names[predictions.labels[index]] for index in positions], how,
                         keep_truncated=folder.settings.keep_truncated)
