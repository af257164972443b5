"""Rank unlabelled photos by what they would teach a run's model, with its artifact and without a framework."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from matlens.data.pixels.archives import PhotoPlace, opening
from matlens.data.pixels.problems import Problem
from matlens.data.pixels.reader import PhotoReader
from matlens.data.pixels.values import as_floats
from matlens.errors import DataError, MatlensError
from matlens.evaluation.part_predictions import PartPredictions
from matlens.features.artifact import Artifact
from matlens.features.novelty.detectors import NearestNeighbours
from matlens.jobs.answers import AnswerOptions, answers_from
from matlens.jobs.labelling.ranking import margins, rank_photos
from matlens.jobs.predict import AskedPhotos
from matlens.runs.run import Run
from matlens.runs.training_record import TrainingRecord
from matlens.system.files import as_cell, csv_line, write_text
from matlens.types import Array, Pixels, Progress, unheard

COLUMNS = ("rank", "path", "score", "margin", "answer", "probability", "distance", "unknown")

_BATCH = 32


@dataclass(frozen=True)
class Suggestion:
    """A photo to label. margin: between its two likeliest classes. score and distance: see `Ranking`.

    unknown: whether it is probably of none of the classes; None where the artifact does not tell.
    """

    path: str
    score: float
    margin: float
    answer: str
    probability: float
    distance: float
    unknown: bool | None


@dataclass(frozen=True)
class Suggestions:
    """The photos to label, the one that teaches most first.

    looked_at: photos that were ranked. labelled: photos that were passed over, since the run has them with labels.
    repeated: photos that were passed over, since another one has the same content. unreadable: with the reasons.
    strange: photos that were passed over as of none of the classes, where that was asked for.
    seeded: how many labelled photos the distances are measured from; 0 where their features are not known.
    """

    photos: tuple[Suggestion, ...]
    looked_at: int
    labelled: int
    repeated: int
    unreadable: tuple[tuple[str, str], ...]
    strange: int
    seeded: int

    def write(self, path: Path) -> Path:
        """Write as CSV, whole or not at all. A path that a spreadsheet would take for a formula has a mark before it.
        """
        rows = [(rank, as_cell(photo.path), f"{photo.score:.6f}", f"{photo.margin:.6f}", as_cell(photo.answer),
                 f"{photo.probability:.6f}", f"{photo.distance:.6f}",
                 "" if photo.unknown is None else "yes" if photo.unknown else "no")
                for rank, photo in enumerate(self.photos, 1)]
        return write_text(path, "".join(map(csv_line, (COLUMNS, *rows))))


@dataclass
class _Pool:
    """Photos as they are read: those to rank with their answers, and why others are passed over."""

    artifact: Artifact
    known: frozenset[str]
    paths: list[str] = field(default_factory=list)
    own: list[Array] = field(default_factory=list)
    features: list[Array] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    labelled: int = 0
    repeated: int = 0
    _seen: set[str] = field(default_factory=set)
    _waiting: list[Pixels] = field(default_factory=list)

    def take(self, path: PhotoPlace, digest: str, pixels: Pixels | Problem) -> None:
        """Take a photo, and answer those that wait once they make a batch."""
        if isinstance(pixels, Problem):
            self.unreadable.append((str(path), str(pixels)))
        elif digest in self.known:
            self.labelled += 1
        elif digest in self._seen:
            self.repeated += 1
        else:
            self._seen.add(digest)
            self.paths.append(str(path))
            self._waiting.append(pixels)
            if len(self._waiting) == _BATCH:
                self.compute()

    def compute(self) -> None:
        """Answer the photos that wait."""
        if self._waiting:
            own, features = self.artifact.predict_with_features(as_floats(np.stack(self._waiting)))
            self.own.append(own)
            self.features.append(features)
            self._waiting.clear()


def suggest(run: Run, artifact: Artifact, asked: AskedPhotos, n: int, on_progress: Progress = unheard, *,
            known_only: bool = False) -> Suggestions:
    """Rank photos, and return the first n. Features of all of them are in memory: 5 kB a photo, of MobileNetV2.

    known_only: pass over photos that are probably of none of the classes, where the artifact tells.

    Raises:
        DataError: no photo can be ranked.
        ModelError: the artifact is damaged.
    """
    pool = _Pool(artifact, frozenset(photo.sha256 for photo in run.split.photos))
    pool.unreadable += [(str(place), reason) for place, reason in asked.unlisted]
    for done, read in enumerate(_read(asked.photos, PhotoReader(artifact.img_size)), 1):
        pool.take(*read)
        on_progress(done, len(asked.photos))
    pool.compute()
    if not pool.paths:
        first = ", such as {}: {}".format(*pool.unreadable[0]) if pool.unreadable else ""
        raise DataError(f"There is no photo to rank: of {len(asked.photos)} photos, {pool.labelled} are labelled in "
                        f"the run already and {len(pool.unreadable)} cannot be read{first}. Name a folder with photos "
                        "that are not labelled.")
    own, features = np.concatenate(pool.own), np.concatenate(pool.features)
    strange = 0
    if known_only:
        known = np.array([answer["unknown"] is not True for answer in answers_from(artifact, own, features,
                                                                                AnswerOptions())])
        strange = int((~known).sum())
        if not known.any():
            raise DataError(f"All {strange} photos are probably of none of the classes. Leave --known-only out to "
                            "rank them all the same.")
        own, features = own[known], features[known]
        pool.paths = [path for path, keep in zip(pool.paths, known, strict=True) if keep]
    chances = artifact.calibrator.apply(own) if artifact.calibrator else own
    labelled = labelled_features(run, artifact, features.shape[1])
    ranking, margin = rank_photos(chances, features, labelled, n), margins(chances)
    chosen = ranking.positions
    answers = answers_from(artifact, own[chosen], features[chosen], AnswerOptions())
    photos = tuple(Suggestion(pool.paths[row], float(score), float(margin[row]), answer["class"], answer["probability"],
                              float(distance), answer["unknown"])
                   for row, score, distance, answer in zip(chosen, ranking.score, ranking.distance, answers,
                                                           strict=True))
    return Suggestions(photos, len(pool.paths), pool.labelled, pool.repeated, tuple(pool.unreadable), strange,
                       0 if labelled is None else len(labelled))


def labelled_features(run: Run, artifact: Artifact, width: int) -> Array | None:
    """Return the features (M, width) of photos that the run has labels of; None where nothing holds them.

    They are those of training and validation photos in the cache, or else those that the artifact tells unknown photos
    by.
    """
    photos = [photo for photo in run.split.photos if photo.part != "test"]
    found: Array | None = None
    with suppress(MatlensError, KeyError):
        found = PartPredictions(run, artifact.model_name, TrainingRecord.read(run, artifact.model_name)
                                ).features(photos)
    if found is None and artifact.novelty and isinstance(artifact.novelty.detector, NearestNeighbours):
        found = artifact.novelty.detector.exemplars
    return None if found is None or found.shape[1] != width else np.asarray(found, dtype=np.float32)


def _read(places: Sequence[PhotoPlace], reader: PhotoReader) -> Iterator[tuple[PhotoPlace, str, Pixels | Problem]]:
    """Yield place, SHA-256 and pixels of photos, in their order; some are read ahead."""
    with opening(reader) as opener, ThreadPoolExecutor() as pool:
        def read(place: PhotoPlace) -> tuple[PhotoPlace, str, Pixels | Problem]:
            content = opener.content(place)
            if isinstance(content, Problem):
                return place, "", content
            return place, hashlib.sha256(content).hexdigest(), reader.attempt_content(content)

        for start in range(0, len(places), 4 * _BATCH):
            yield from pool.map(read, places[start:start + 4 * _BATCH])
