"""Where a model fails, and where it only just succeeds: test photos with heat maps, as data that a page can hold.

A photo stands once, however many galleries show it. Its heat map is a picture of one pixel a place, transparent where
it is cold: laid over the photo and stretched to its size it costs a page some hundred bytes.
"""

from __future__ import annotations

import base64
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matlens.data.pixels.thumbnails import small_jpeg
from matlens.errors import ResultsError
from matlens.evaluation.choice import confident_mistakes, confused_pairs, unsure_hits
from matlens.evaluation.predictions import Predictions
from matlens.explanation.explain import How, explain_positions
from matlens.explanation.methods import MethodName
from matlens.features.artifact import Artifact
from matlens.runs.run import Run
from matlens.system.files import checksum, read_json, write_json
from matlens.types import Array

SHOWN, SHOWN_PER_CLASS, PAIRS, SHOWN_PER_PAIR = 12, 3, 10, 4
"""Photos in the galleries of the whole test part, of a class, confused pairs, and photos of each."""

SIDE = 144
"""Of a photo in pixels. With 23 classes a model's gallery so keeps to about a megabyte."""

_OPACITY = 0.75


@dataclass(frozen=True)
class GalleryPhoto:
    """A test photo as it stands in the galleries.

    truth, predicted: class names; probability: of the answer; truth_probability: of the true class.
    jpeg: base64, width x height pixels; heat: a PNG (RGBA, a pixel a place) in base64, None of a single place.
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
    """How many photos of the class `truth` were taken for `predicted`, and some of them, by number."""

    truth: str
    predicted: str
    count: int
    photos: tuple[int, ...]


@dataclass(frozen=True)
class Gallery:
    """The content of `<name>_gallery.json`. Photos are named by their positions in `photos`.

    confident_mistakes: the most probable wrong answers first; unsure_hits: the least probable right answers first.
    per_class: by true class {mistakes, hits}, ordered alike.
    pairs: the most frequently confused first.
    artifact: SHA-256 of the artifact.json of the model.
    """

    model_name: str
    method: str
    photos: tuple[GalleryPhoto, ...]
    confident_mistakes: tuple[int, ...]
    unsure_hits: tuple[int, ...]
    per_class: dict[str, dict[str, tuple[int, ...]]]
    pairs: tuple[ConfusedPair, ...]
    artifact: str = ""

    def write(self, path: Path) -> Path:
        """Write as JSON, whole or not at all."""
        return write_json(path, {"format": 1, **dataclasses.asdict(self)})

    @classmethod
    def read(cls, path: Path) -> Gallery:
        """Read what `write` wrote. Raises ResultsError."""
        try:
            content: dict[str, Any] = read_json(path)
            del content["format"]
            return cls(**content | {
                "photos": tuple(GalleryPhoto(**photo) for photo in content["photos"]),
                "confident_mistakes": tuple(content["confident_mistakes"]),
                "unsure_hits": tuple(content["unsure_hits"]),
                "per_class": {name: {kind: tuple(numbers) for kind, numbers in of_class.items()}
                              for name, of_class in content["per_class"].items()},
                "pairs": tuple(ConfusedPair(**pair | {"photos": tuple(pair["photos"])})
                               for pair in content["pairs"])})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ResultsError(f"{path.name} is missing or damaged ({error}). Make it with: matlens explain "
                                 f"{path.parent.parent} --galleries") from error


def make_gallery(folder: Run, name: str, method: MethodName = "gradcam") -> Gallery:
    """Choose photos by the saved predictions, explain each once, and keep the gallery.

    Raises:
        DataError, ModelError or ResultsError: what is there cannot be read.
    """
    predictions = Predictions.read(folder.paths.predictions_file(name))
    artifact = Artifact.open(folder.paths.artifact(name))
    names = artifact.class_names
    mistakes, hits = confident_mistakes(predictions, SHOWN), unsure_hits(predictions, SHOWN)
    per_class = {class_name: {"mistakes": confident_mistakes(predictions, SHOWN_PER_CLASS, number),
                              "hits": unsure_hits(predictions, SHOWN_PER_CLASS, number)}
                 for number, class_name in enumerate(names)}
    pairs = confused_pairs(predictions, PAIRS)
    shown = sorted({*mistakes, *hits, *(index for of_class in per_class.values() for indices in of_class.values()
                                        for index in indices),
                    *(index for _, _, indices in pairs for index in indices[:SHOWN_PER_PAIR])})
    number_of = {index: number for number, index in enumerate(shown)}

    def numbered(indices: list[int]) -> tuple[int, ...]:
        return tuple(number_of[index] for index in indices)

    photos = []
    explained = explain_positions(folder, artifact, predictions, shown, How(method)) if shown else []
    for index, one in zip(shown, explained, strict=True):
        row, picture = predictions.probabilities[index], small_jpeg(one.photo, SIDE)
        photos.append(GalleryPhoto(
            predictions.paths[index], names[predictions.labels[index]], names[row.argmax()],
            round(float(row.max()), 6), round(float(row[predictions.labels[index]]), 6), picture.base64, picture.width,
            picture.height, None if one.heat is None or one.heat.size == 1 else heat_png(one.heat)))
    gallery = Gallery(
        name, method, tuple(photos), numbered(mistakes), numbered(hits),
        {class_name: {kind: numbered(indices) for kind, indices in of_class.items()}
         for class_name, of_class in per_class.items()},
        tuple(ConfusedPair(names[truth], names[predicted], len(indices), numbered(indices[:SHOWN_PER_PAIR]))
              for truth, predicted, indices in pairs), checksum(artifact.folder / "artifact.json"))
    gallery.write(folder.paths.on_request_file(name, "gallery"))
    return gallery


def heat_png(heat: Array) -> str:
    """A heat map (h, w) in [0, 1] as a PNG of h x w pixels, in base64: dark to bright, and the colder the clearer."""
    import cv2

    level = (np.clip(heat, 0, 1) * 255).round().astype(np.uint8)
    coloured = cv2.applyColorMap(level, cv2.COLORMAP_INFERNO)
    written, png = cv2.imencode(".png", np.dstack([coloured, (level * _OPACITY).round().astype(np.uint8)]))
    assert written
    return base64.b64encode(png.tobytes()).decode("ascii")
