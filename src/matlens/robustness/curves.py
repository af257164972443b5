"""Accuracy under perturbations: a value that writes and reads itself, and how it is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.data.batches import read_pixels
from matlens.data.pixels.reader import PhotoReader
from matlens.data.split.splits import Photo
from matlens.errors import ResultsError
from matlens.evaluation.choice import drawn_evenly
from matlens.features.artifact import Artifact
from matlens.robustness.perturbations import PERTURBATIONS, perturbed
from matlens.runs.run import Run
from matlens.system.files import checksum, read_json, write_json
from matlens.types import Pixels

PHOTOS = 500
"""Test photos at most, unless more are asked for: 65 times as many predictions are made."""

_BATCH = 32


@dataclass(frozen=True)
class Robustness:
    """The content of `<name>_robustness.json`. Accuracies are fractions; None of a class without a photo.

    accuracy, per_class: of the photos as they are.
    curves: by perturbation {title, unit, strengths, accuracy, same_answer, per_class}: `accuracy` at each strength,
        `same_answer` the share of photos with the answer that they have undisturbed, `per_class` by class its photos'
        accuracy at each strength.
    artifact: SHA-256 of the artifact.json of the model.
    """

    model_name: str
    n_photos: int
    accuracy: float
    per_class: dict[str, float | None]
    curves: dict[str, dict[str, Any]]
    artifact: str = ""

    @property
    def summary(self) -> dict[str, Any]:
        """What goes into the results of the model: accuracies at each strength, and their mean over the strengths."""
        return {"n_photos": self.n_photos, "accuracy": self.accuracy,
                "curves": {name: {"strengths": curve["strengths"], "accuracy": curve["accuracy"],
                                  "mean": round(float(np.mean(curve["accuracy"])), 6)}
                           for name, curve in self.curves.items()}}

    def write(self, path: Path) -> Path:
        """Write as JSON, whole or not at all."""
        return write_json(path, {"format": 1, **dataclasses.asdict(self)})

    @classmethod
    def read(cls, path: Path) -> Robustness:
        """Read what `write` wrote. Raises ResultsError."""
        try:
            content = read_json(path)
            del content["format"]
            return cls(**content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ResultsError(f"{path.name} is missing or damaged ({error}). Make it with: matlens evaluate "
                                 f"{path.parent.parent} --robustness") from error


def workload(photos: int) -> int:
    """Predictions that are made of so many photos."""
    return photos * (1 + sum(len(each.strengths) for each in PERTURBATIONS.values()))


def measure(photos: Sequence[Pixels], digests: Sequence[str], labels: npt.NDArray[np.int64],
            class_names: Sequence[str], predict: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]],
            model_name: str, artifact: str = "",
            on_progress: Callable[[int, int], None] = lambda done, total: None) -> Robustness:
    """Predict photos as they are and under each perturbation and strength.

    Args:
        photos: (H, W, 3) uint8 each; digests: SHA-256 of their files; labels: (N,) class numbers.
        predict: (B, H, W, 3) float32 in [0, 1] to probabilities (B, C).
        on_progress: is told of predictions.
    """
    total, done = workload(len(photos)), 0

    def answers(change: Callable[[Pixels, str], Pixels]) -> npt.NDArray[np.int64]:
        nonlocal done
        found = []
        for images in _batches(photos, digests, change):
            found.append(predict(images).argmax(axis=1))
            done += len(images)
            on_progress(done, total)
        return np.concatenate(found)

    def of_class(right: npt.NDArray[np.bool_], number: int) -> float | None:
        rows = labels == number
        return round(float(right[rows].mean()), 6) if rows.any() else None

    plain = answers(lambda photo, digest: photo)
    curves: dict[str, dict[str, Any]] = {}
    for name, each in PERTURBATIONS.items():
        under = [answers(partial(_under, name, strength)) for strength in each.strengths]
        curves[name] = {
            "title": each.title, "unit": each.unit, "strengths": list(each.strengths),
            "accuracy": [round(float((answer == labels).mean()), 6) for answer in under],
            "same_answer": [round(float((answer == plain).mean()), 6) for answer in under],
            "per_class": {class_name: [of_class(answer == labels, number) for answer in under]
                          for number, class_name in enumerate(class_names)}}
    return Robustness(model_name, len(photos), round(float((plain == labels).mean()), 6),
                      {class_name: of_class(plain == labels, number) for number, class_name in enumerate(class_names)},
                      curves, artifact)


def judge_robustness(folder: Run, name: str, n: int = PHOTOS,
                     on_progress: Callable[[int, int], None] = lambda done, total: None) -> Robustness:
    """Measure a trained model on up to `n` test photos of its run, drawn from the classes in turn, and keep it.

    Raises:
        DataError, ModelError or ResultsError: what is there cannot be read, or does not fit together.
    """
    split, settings = folder.split, folder.settings
    artifact = Artifact.open(folder.paths.artifact(name))
    every = split.part("test")
    labels = split.labels(every)
    chosen = drawn_evenly(labels, n, settings.seed)
    photos: list[Photo] = [every[index] for index in chosen]
    reader = PhotoReader(artifact.img_size, settings.keep_truncated)
    pixels = [pixel for batch in read_pixels(folder.data_root, photos, reader) for pixel in batch]
    found = measure(pixels, [photo.sha256 for photo in photos], labels[chosen], split.class_names, artifact.predict,
                    name, checksum(artifact.folder / "artifact.json"), on_progress)
    found.write(folder.paths.on_request_file(name, "robustness"))
    return found


def _under(name: str, strength: float, photo: Pixels, digest: str) -> Pixels:
    return perturbed(photo, name, strength, digest)


def _batches(photos: Sequence[Pixels], digests: Sequence[str], change: Callable[[Pixels, str], Pixels],
             ) -> Iterator[npt.NDArray[np.float32]]:
    """Changed photos, the next batch being made while one is predicted."""
    def make(start: int) -> npt.NDArray[np.float32]:
        some = slice(start, start + _BATCH)
        changed = [change(photo, digest) for photo, digest in zip(photos[some], digests[some], strict=True)]
        return np.stack(changed).astype(np.float32) / np.float32(255)

    starts = range(0, len(photos), _BATCH)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(make, 0)
        for start in starts:
            images = coming.result()
            if start + _BATCH < len(photos):
                coming = pool.submit(make, start + _BATCH)
            yield images
