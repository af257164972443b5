"""Where a model fails, and where it only just succeeds: test photos with heat maps, as data that a page can hold.

Each photo is held once, however many galleries show it. Its heat map is a picture with a pixel for each place,
transparent where it is cold: laid over the photo and stretched to its size it costs a page some hundred bytes.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from matlens.data.pixels.thumbnails import small_jpeg
from matlens.evaluation.choice import confident_mistakes, confused_pairs, unsure_hits, weakest_classes
from matlens.evaluation.predictions import Predictions
from matlens.explanation.artifact_model import ArtifactModel
from matlens.explanation.explain import explain_positions
from matlens.explanation.explainer import Explainer
from matlens.explanation.on_request import Measurement, digest_of
from matlens.explanation.overlay import glow
from matlens.explanation.registry import DEFAULT_METHOD, EXPLAINERS, question_for
from matlens.features.artifact import Artifact
from matlens.runs.run import Run
from matlens.types import Array
from matlens.workers.trained import trained_artifact

SHOWN, SHOWN_PER_CLASS, PAIRS, SHOWN_PER_PAIR = 12, 3, 10, 4
"""At most so many photos in a gallery of the whole test part, photos of a class, pairs, and photos of a pair."""

MOST_CLASSES = 200
"""Of more classes those with the lowest F1 have a gallery of their own: photos of a thousand would take 60 MB."""

PHOTO_SIDE = 144
"""The longer side of a photo in pixels. With 23 classes a model's gallery so keeps to about a megabyte."""

_MOST_PLACES = 64
"""The longest side of a heat map: those of forward-only methods may have a place for each pixel."""


@dataclass(frozen=True)
class GalleryPhoto:
    """A test photo in the galleries.

    truth, predicted: class names.
    probability: of the answer. truth_probability: of the true class.
    jpeg: the photo in base64, width x height pixels.
    heat: a PNG (RGBA, a pixel for each place) in base64; None where there is one place.
    """

    path: str
    truth: str
    predicted: str
    probability: float
    truth_probability: float
    jpeg: str
    width: int
    height: int
    heat: str | None


@dataclass(frozen=True)
class ConfusedPair:
    """Two classes, of which `count` photos of the class `truth` were taken for `predicted`.

    photos: some of them, by their positions in the gallery's.
    """

    truth: str
    predicted: str
    count: int
    photos: tuple[int, ...]


@dataclass(frozen=True)
class Gallery(Measurement):
    """The content of `<name>_gallery.json`. Photos are named by their positions in `photos`.

    confident_mistakes: the most probable wrong answers first; unsure_hits: the least probable right answers first.
    per_class: by true class {mistakes, hits}, ordered alike.
    pairs: the most frequently confused first.
    artifact: SHA-256 of the artifact.json of the model.
    """

    kind: ClassVar[str] = "gallery"
    command: ClassVar[tuple[str, ...]] = ("explain", "RUN", "--galleries")

    model_name: str
    method: str
    photos: tuple[GalleryPhoto, ...]
    confident_mistakes: tuple[int, ...]
    unsure_hits: tuple[int, ...]
    per_class: dict[str, dict[str, tuple[int, ...]]]
    pairs: tuple[ConfusedPair, ...]
    artifact: str = ""


def make_gallery(run: Run, name: str, method: str = DEFAULT_METHOD) -> Gallery:
    """Choose photos by the saved predictions, explain each once, and write the gallery.

    method: the name of a registered explanation method.

    Raises:
        SettingsError: no such method.
        DataError, ModelError or ResultsError: a photo, the model or its predictions cannot be read.
    """
    predictions = Predictions.read(run.paths.predictions_file(name))
    artifact = trained_artifact(run, name)
    names = artifact.class_names
    mistakes, hits = confident_mistakes(predictions, SHOWN), unsure_hits(predictions, SHOWN)
    per_class = {names[number]: {"mistakes": confident_mistakes(predictions, SHOWN_PER_CLASS, number),
                                 "hits": unsure_hits(predictions, SHOWN_PER_CLASS, number)}
                 for number in weakest_classes(predictions, MOST_CLASSES)}
    pairs = confused_pairs(predictions, PAIRS)
    shown = sorted({*mistakes, *hits, *(index for of_class in per_class.values() for indices in of_class.values()
                                        for index in indices),
                    *(index for _, _, indices in pairs for index in indices[:SHOWN_PER_PAIR])})
    number_of = {index: number for number, index in enumerate(shown)}

    def numbered(indices: list[int]) -> tuple[int, ...]:
        return tuple(number_of[index] for index in indices)

    photos = _photos(run, artifact, predictions, shown, EXPLAINERS[method])
    gallery = Gallery(
        name, method, photos, numbered(mistakes), numbered(hits),
        {class_name: {kind: numbered(indices) for kind, indices in of_class.items()}
         for class_name, of_class in per_class.items()},
        tuple(ConfusedPair(names[truth], names[predicted], len(indices), numbered(indices[:SHOWN_PER_PAIR]))
              for truth, predicted, indices in pairs), digest_of(artifact.folder))
    gallery.write_into(run.paths)
    return gallery


def _photos(run: Run, artifact: Artifact, predictions: Predictions, positions: list[int], method: Explainer,
            ) -> tuple[GalleryPhoto, ...]:
    """Explain the test photos at some positions of the predictions, and make them small."""
    if not positions:
        return ()
    names, photos = artifact.class_names, []
    model = ArtifactModel.of_run(run, artifact)
    explained = explain_positions(run, model, predictions, positions, method, question_for(method))
    for index, answer in zip(positions, explained, strict=True):
        row, truth = predictions.probabilities[index], predictions.labels[index]
        picture = small_jpeg(answer.photo, PHOTO_SIDE)
        photos.append(GalleryPhoto(
            predictions.paths[index], names[truth], names[row.argmax()], round(float(row.max()), 6),
            round(float(row[truth]), 6), picture.base64, picture.width, picture.height,
            None if answer.heat.size == 1 else heat_png(answer.heat)))
    return tuple(photos)


def heat_png(heat: Array) -> str:
    """Encode a heat map (h, w) in [0, 1] as a PNG in base64: dark to bright, and the colder the more transparent.

    A place is a pixel; a map of more than 64 places a side is made smaller first.
    """
    import cv2

    shrink = _MOST_PLACES / max(heat.shape)
    if shrink < 1:
        heat = np.asarray(cv2.resize(heat, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.float32)
    written, png = cv2.imencode(".png", cv2.cvtColor(glow(heat), cv2.COLOR_RGBA2BGRA))
    assert written
    return base64.b64encode(png.tobytes()).decode("ascii")
