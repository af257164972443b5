"""Measure accuracy under perturbations, as a value that writes and reads itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from matlens.data.batches import read_pixels
from matlens.data.pixels.reader import PhotoReader
from matlens.data.pixels.values import as_floats
from matlens.data.split.splits import Photo
from matlens.evaluation.choice import drawn_evenly
from matlens.evaluation.inference.groups import Groups
from matlens.evaluation.inference.paired import difference_interval, holding_nothing
from matlens.evaluation.inference.simultaneous import Family, simultaneous
from matlens.evaluation.intervals import CONFIDENCE, Interval, share_interval
from matlens.explanation.on_request import Measurement, digest_of
from matlens.robustness.registry import PERTURBATIONS, Perturbation
from matlens.runs.run import Run
from matlens.types import Array, Count, Floats, Labels, Pixels, Progress, unheard
from matlens.workers.trained import trained_artifact

PHOTOS_MEASURED = 500
"""At most so many test photos, unless more are asked for: each is predicted once for each strength, 66 times."""

_BATCH = 32


@dataclass(frozen=True)
class Robustness(Measurement):
    """The content of `<name>_robustness.json`. Accuracies are fractions; that of a class without a photo is None.

    accuracy, per_class: on the photos as they are.
    curves: by perturbation {title, unit, strengths, accuracy, same_answer, per_class}: `accuracy` at each strength,
        `same_answer` the share of photos with the answer that they have undisturbed, `per_class` by class its photos'
        accuracy at each strength. `interval` holds the 95 % interval of each accuracy, {low, high ...}. `change` holds
        by
        how much each accuracy differs from that on the photos as they are, {low, high ...}, and `p` how likely it is
        that it does not: both hold for all strengths of all perturbations together. What cannot be estimated is None.
    n_groups: the number of independent groups that the photos are of; None where each stands alone.
    artifact: SHA-256 of the artifact.json of the model.
    """

    kind: ClassVar[str] = "robustness"
    command: ClassVar[tuple[str, ...]] = ("evaluate", "RUN", "--robustness")

    model_name: str
    n_photos: Count
    accuracy: float
    per_class: dict[str, float | None]
    curves: dict[str, dict[str, Any]]
    artifact: str = ""
    n_groups: Count | None = None

    @property
    def summary(self) -> dict[str, Any]:
        """The part that goes into the results of the model: accuracy at each strength, and the mean over strengths."""
        return {"n_photos": self.n_photos, "n_groups": self.n_groups, "accuracy": self.accuracy,
                "curves": {name: {"strengths": curve["strengths"], "accuracy": curve["accuracy"],
                                  **{key: curve[key] for key in ("interval", "p") if key in curve},
                                  "mean": round(float(np.mean(curve["accuracy"])), 6)}
                           for name, curve in self.curves.items()}}


def workload(photos: int) -> int:
    """Count the predictions that are made of so many photos."""
    return photos * (1 + sum(len(perturbation.strengths) for perturbation in PERTURBATIONS.entries()))


def measure(photos: Sequence[Pixels], digests: Sequence[str], labels: Labels, class_names: Sequence[str],
            predict: Callable[[Array], Array], model_name: str, artifact: str = "", on_progress: Progress = unheard,
            groups: Groups | None = None) -> Robustness:
    """Predict photos as they are and under each perturbation and strength.

    Args:
        photos: (H, W, 3) uint8 each.
        digests: SHA-256 of their files.
        labels: (N,) class numbers.
        predict: (B, H, W, 3) float32 in [0, 1] to probabilities (B, C).
        on_progress: called with the predictions done so far.
    """
    total, done = workload(len(photos)), 0

    def answers(change: Callable[[Pixels, str], Pixels]) -> Labels:
        nonlocal done
        of_batches = []
        for images in _batches(photos, digests, change):
            of_batches.append(predict(images).argmax(axis=1))
            done += len(images)
            on_progress(done, total)
        return np.concatenate(of_batches)

    def of_class(right: npt.NDArray[np.bool_], number: int) -> float | None:
        rows = labels == number
        return round(float(right[rows].mean()), 6) if rows.any() else None

    plain = answers(lambda photo, digest: photo)
    curves: dict[str, dict[str, Any]] = {}
    together, right = groups or Groups.single(len(photos)), [plain == labels]
    for perturbation in PERTURBATIONS.entries():
        under = [answers(partial(_under, perturbation, strength)) for strength in perturbation.strengths]
        curves[perturbation.name] = {
            "title": perturbation.title, "unit": perturbation.unit, "strengths": list(perturbation.strengths),
            "accuracy": [round(float((answer == labels).mean()), 6) for answer in under],
            "interval": [_json_of(share_interval(answer == labels, together)) for answer in under],
            "same_answer": [round(float((answer == plain).mean()), 6) for answer in under],
            "per_class": {class_name: [of_class(answer == labels, number) for answer in under]
                          for number, class_name in enumerate(class_names)}}
        right += [answer == labels for answer in under]
    changes = iter(_changes(np.stack(right, axis=1).astype(np.float64), together))
    for curve in curves.values():
        of_curve = [next(changes) for _ in curve["strengths"]]
        curve |= {"change": [_json_of(interval) for interval, _ in of_curve], "p": [p for _, p in of_curve]}
    return Robustness(model_name, len(photos), round(float((plain == labels).mean()), 6),
                      {class_name: of_class(plain == labels, number) for number, class_name in enumerate(class_names)},
                      curves, artifact, None if together.are_single else together.count)


def _changes(right: Floats, groups: Groups) -> list[tuple[Interval | None, float]]:
    """Compare each column of (N, 1 + M) with the first: the difference's interval, and its p, of all M together."""
    sums, first = groups.sums(right), right[:, 0]
    changed = tuple((column, 0) for column in range(1, right.shape[1]))
    found = simultaneous([Family.of_counts(sums, changed, right)])
    intervals = [difference_interval(groups, right[:, column], first, found.reach) for column, _ in changed]
    return [(interval if p < 1 - CONFIDENCE else holding_nothing(interval), round(float(p), 6))
            for interval, p in zip(intervals, found.p_values[0], strict=True)]


def _json_of(interval: Interval | None) -> dict[str, Any] | None:
    return interval.to_json() if interval else None


def judge_robustness(run: Run, name: str, n: int = PHOTOS_MEASURED, on_progress: Progress = unheard) -> Robustness:
    """Measure a model on up to `n` test photos of its run, drawn from the classes in turn, and write the result.

    Raises:
        DataError, ModelError or ResultsError: a photo or the model cannot be read, or they do not fit together.
    """
    split, settings = run.split, run.settings
    artifact = trained_artifact(run, name)
    test_photos = split.part("test")
    labels = split.labels(test_photos)
    chosen = drawn_evenly(labels, n, settings.seed)
    photos: list[Photo] = [test_photos[index] for index in chosen]
    reader = PhotoReader(artifact.img_size, settings.keep_truncated)
    pixels = [pixel for batch in read_pixels(run.data_root, photos, reader) for pixel in batch]
    robustness = measure(pixels, [photo.sha256 for photo in photos], labels[chosen], split.class_names,
                         artifact.predict, name, digest_of(artifact.folder), on_progress,
                         Groups.of(split.groups_of(photos)))
    robustness.write_into(run.paths)
    return robustness


def _under(perturbation: Perturbation, strength: float, photo: Pixels, digest: str) -> Pixels:
    return perturbation.applied(photo, strength, digest)


def _batches(photos: Sequence[Pixels], digests: Sequence[str], change: Callable[[Pixels, str], Pixels],
             ) -> Iterator[Array]:
    """Yield changed photos, and make the next batch while one is predicted."""
    def make(start: int) -> Array:
        some = slice(start, start + _BATCH)
        changed = [change(photo, digest) for photo, digest in zip(photos[some], digests[some], strict=True)]
        return as_floats(np.stack(changed))

    starts = range(0, len(photos), _BATCH)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(make, 0)
        for start in starts:
            images = coming.result()
            if start + _BATCH < len(photos):
                coming = pool.submit(make, start + _BATCH)
            yield images
