"""A model's answers to a part of its photos, saved once: every figure can be recomputed from them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from matlens.data.batches import read_photos
from matlens.data.split.splits import Split
from matlens.errors import LabelsError, ResultsError
from matlens.features.artifact import PARITY_TOLERANCE, Artifact
from matlens.system.files import whole_file
from matlens.system.untrusted import reading, stays_inside
from matlens.system.untrusted_arrays import read_arrays
from matlens.types import Array, Labels, Progress, unheard

_COMPARED = 1
"""Batches of photos (32) that are predicted from their files where the cache has features."""


@dataclass(frozen=True)
class Predictions:
    """Probabilities (N, C) float32, labels (N,) int64, and paths (N,) of the photos, in the order of the split.

    digests: the SHA-256 of each photo's content, (N,); empty where it is not known, as in files of earlier versions.
    together: (N,) int64, the number of the group that each photo belongs to; None where each photo stands alone.
    photos_per_second: the rate of prediction, photos decoded beforehand; not written, since files of the same answers
        are to be the same.
    """

    probabilities: Array
    labels: Labels
    paths: tuple[str, ...]
    photos_per_second: float | None = None
    digests: tuple[str, ...] = ()
    together: Labels | None = None

    def __post_init__(self) -> None:
        n = len(self.paths)
        if self.probabilities.ndim != 2 or len(self.probabilities) != n or self.labels.shape != (n,):
            raise ValueError(f"probabilities {self.probabilities.shape}, labels {self.labels.shape} and {n} paths "
                             "do not fit together")
        if self.groups.shape != (n,) or len(self.digests) not in (0, n):
            raise ValueError(f"groups {self.groups.shape}, {len(self.digests)} digests and {n} paths do not fit "
                             "together")
        if n and not 0 <= self.labels.min() <= self.labels.max() < self.probabilities.shape[1]:
            raise ValueError(f"labels from {self.labels.min()} to {self.labels.max()} are not those of "
                             f"{self.probabilities.shape[1]} classes")

    @property
    def groups(self) -> Labels:
        """The number of the group of each photo, (N,): photos of one group are not independent of each other."""
        return np.arange(len(self.paths), dtype=np.int64) if self.together is None else self.together

    @cached_property
    def predicted(self) -> Labels:
        """The most probable class of each photo, (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    def photos_hash(self, class_names: Sequence[str]) -> str:
        """Return a SHA-256 of the photos' contents and classes, in any order; empty where a content is not known.

        Two models were judged on the same photos exactly if this is the same.
        """
        if not self.knows_content:
            return ""
        return hash_of_photos(zip(self.digests, (class_names[label] for label in self.labels), strict=True))

    @property
    def knows_content(self) -> bool:
        """Whether the content of every photo is known."""
        return bool(self.digests) and all(self.digests)

    def with_photos_of(self, split: Split, part: str) -> Predictions:
        """Return the same with what a split knows of the photos of one of its parts; unchanged if they are not its."""
        photos = split.part(part)
        if self.paths != tuple(photo.path for photo in photos):
            return self
        return dataclasses.replace(self, digests=tuple(photo.sha256 for photo in photos),
                                   together=split.groups_of(photos))

    def write(self, path: Path) -> Path:
        """Write as compressed .npz (no pickles), whole or not at all."""
        with whole_file(path) as partial:
            np.savez_compressed(partial, probabilities=self.probabilities, labels=self.labels,
                                paths=np.array(self.paths, dtype=np.str_), groups=self.groups,
                                digests=np.array(self.digests, dtype=np.str_))
        return path

    @classmethod
    def read(cls, path: Path) -> Predictions:
        """Read what `write` wrote. Raises ResultsError."""
        with reading(path, "a file of predictions of matlens", ResultsError, "Delete it and make it again with: "
                     "matlens evaluate RUN"):
            arrays = read_arrays(path, {"probabilities": ("f", 2), "labels": ("i", 1), "paths": ("U", 1),
                                        "groups": ("i", 1), "digests": ("U", 1),
                                        "photos_per_second": ("f", 0)})  # which files of earlier versions have
            paths = tuple(arrays["paths"].tolist())
            if outside := [photo for photo in paths if not stays_inside(photo)]:
                raise ValueError(f"{outside[0]} lies outside of the dataset")
            return cls(arrays["probabilities"], arrays["labels"], paths, None,
                       tuple(arrays["digests"].tolist()) if "digests" in arrays else (), arrays.get("groups"))


def hash_of_photos(photos: Iterable[tuple[str, str]]) -> str:
    """Return a SHA-256 of photos in any order: of each, the digest of its content and the name of its class."""
    return hashlib.sha256(json.dumps(sorted(photos)).encode()).hexdigest()


def same_photos(first: Predictions, second: Predictions) -> Labels | None:
    """Return where each photo of `first` stands in `second`, (N,); None where the two are not of the same photos.

    Photos are the same if their content and their label are, wherever they lie and however often a photo is there.
    Where either does not know the content of its photos, nothing says that they are the same.
    """
    if not first.knows_content or len(first.digests) != len(second.digests):
        return None
    ours, theirs = (np.lexsort((np.array(given.paths), given.labels, np.array(given.digests)))
                    for given in (first, second))
    if any(np.any(np.asarray(a)[ours] != np.asarray(b)[theirs]) for a, b in (
            (first.digests, second.digests), (first.labels, second.labels))):
        return None
    rows = np.empty(len(ours), np.int64)
    rows[ours] = theirs
    return rows


def predict_part(artifact: Artifact, split: Split, data_root: Path, *, part: str = "test",
                 keep_truncated: bool = False, features: Array | None = None, on_progress: Progress = unheard,
                 ) -> Predictions:
    """Predict one part of a split from its photos, or from features of them that the cache has.

    Args:
        features: (N, K) averaged features of the part's photos, in the split's order. The first photos are predicted
            from their files too: that gives the rate, and features that do not agree are not used.

    Raises:
        DataError: a photo is gone or changed.
        LabelsError: the classes are not the model's.
    """
    if artifact.class_names != split.class_names:
        raise LabelsError(f"{artifact.folder} has other classes than the split: {', '.join(artifact.class_names)}.")
    photos = split.part(part)
    probabilities: list[Array] = []
    seconds, done = 0.0, 0
    artifact.predict(np.zeros((1, *artifact.img_size, 3), np.float32))  # the first call prepares kernels
    for batch, images in enumerate(read_photos(data_root, photos, artifact.img_size, keep_truncated=keep_truncated)):
        started = time.perf_counter()
        probabilities.append(artifact.predict(images))
        seconds += time.perf_counter() - started
        done += len(images)
        on_progress(done, len(photos))
        if features is not None and batch == _COMPARED - 1:
            from_features = artifact.head.probabilities(features[:, None, None, :])
            if np.abs(from_features[:done] - np.concatenate(probabilities)).max() <= PARITY_TOLERANCE:
                probabilities = [from_features]
                break
    return Predictions(np.concatenate(probabilities), split.labels(photos), tuple(photo.path for photo in photos),
                       round(done / seconds, 1), tuple(photo.sha256 for photo in photos), split.groups_of(photos))
