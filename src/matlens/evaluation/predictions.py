"""A model's answers to the test part, saved once: every figure can be recomputed from them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from matlens.data.batches import read_photos
from matlens.data.split.splits import Split
from matlens.errors import DataError, ResultsError
from matlens.features.artifact import PARITY_TOLERANCE, Artifact
from matlens.system.files import whole_file
from matlens.system.untrusted import stays_inside
from matlens.system.untrusted_arrays import read_arrays

_COMPARED = 1
"""Batches of photos (32) that are predicted from their files where features are kept."""


@dataclass(frozen=True)
class Predictions:
    """probabilities (N, C) float32; labels (N,) int64; paths (N,) of the photos, in the order of the split.

    photos_per_second: the rate of prediction, photos decoded beforehand; not written, since files of the same answers
        are to be the same.
    """

    probabilities: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    paths: tuple[str, ...]
    photos_per_second: float | None = None

    def __post_init__(self) -> None:
        n = len(self.paths)
        if self.probabilities.ndim != 2 or len(self.probabilities) != n or self.labels.shape != (n,):
            raise ValueError(f"probabilities {self.probabilities.shape}, labels {self.labels.shape} and {n} paths "
                             "do not fit together")

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """(N,) the most probable class of each photo."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    def write(self, path: Path) -> Path:
        """Write as compressed .npz (no pickles), whole or not at all."""
        with whole_file(path) as partial:
            np.savez_compressed(partial, probabilities=self.probabilities, labels=self.labels,
                                paths=np.array(self.paths, dtype=np.str_))
        return path

    @classmethod
    def read(cls, path: Path) -> Predictions:
        """Read what `write` wrote. Raises ResultsError."""
        try:
            arrays = read_arrays(path, {"probabilities": ("f", 2), "labels": ("i", 1), "paths": ("U", 1),
                                        "photos_per_second": ("f", 0)})  # which files of earlier versions have
            paths = tuple(arrays["paths"].tolist())
            if outside := [each for each in paths if not stays_inside(each)]:
                raise ValueError(f"{outside[0]} lies outside of the dataset")
            return cls(arrays["probabilities"], arrays["labels"], paths)
        except (OSError, ValueError, KeyError) as error:
            raise ResultsError(f"{path} does not hold predictions of matlens ({error}). Delete it and run "
                                 "matlens evaluate RUN again.") from error


def predict_part(artifact: Artifact, split: Split, data_root: Path, *, part: str = "test",
                 keep_truncated: bool = False, features: npt.NDArray[np.float32] | None = None,
                 on_progress: Callable[[int, int], None] = lambda done, total: None) -> Predictions:
    """Predict one part of a split from its photos, or from kept features of them.

    Args:
        features: (N, K) averaged features of the part's photos, in the split's order. The first photos are predicted
            from their files too: that gives the rate, and features that do not agree are not used.

    Raises:
        DataError: a photo is gone or changed, or the classes are not the model's.
    """
    if artifact.class_names != split.class_names:
        raise DataError(f"{artifact.folder} knows other classes than the split: {', '.join(artifact.class_names)}.")
    photos = split.part(part)
    found: list[npt.NDArray[np.float32]] = []
    seconds, done = 0.0, 0
    artifact.predict(np.zeros((1, *artifact.img_size, 3), np.float32))  # the first call prepares kernels
    for batch, images in enumerate(read_photos(data_root, photos, artifact.img_size, keep_truncated=keep_truncated)):
        started = time.perf_counter()
        found.append(artifact.predict(images))
        seconds += time.perf_counter() - started
        done += len(images)
        on_progress(done, len(photos))
        if features is not None and batch == _COMPARED - 1:
            kept = artifact.head.probabilities(features[:, None, None, :])
            if np.abs(kept[:done] - np.concatenate(found)).max() <= PARITY_TOLERANCE:
                found = [kept]
                break
    return Predictions(np.concatenate(found), split.labels(photos), tuple(photo.path for photo in photos),
                       round(done / seconds, 1))
