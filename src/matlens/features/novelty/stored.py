"""What an artifact says of photos that its model does not know: `novelty.npz` beside the network.

    format, head        version of the file, and the SHA-256 of the head.npz that it is of
    detector            the detector's name; its arrays beside it
    strangeness         (N,) of the calibration photos
    true_probabilities  (N,) the network's own probabilities of their true classes
    labels, groups      (N,) their classes, and the numbers of their groups
    training_paths      JSON as bytes: the training photos that the detector was fitted on; `training_labels` (M,)
    training_features   (M, K) float16, at length 1, where no array of the detector's holds them

Thresholds are not stored: any rate of false alarms and any coverage follows from these scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from matlens.errors import ModelError
from matlens.features.novelty import training_photos
from matlens.features.novelty.conformal import Conformal, PredictionSets
from matlens.features.novelty.detectors import DETECTORS, Detector, NearestNeighbours
from matlens.features.novelty.training_photos import TrainingPhotos
from matlens.system.console import command
from matlens.system.files import whole_file
from matlens.system.untrusted import inside, reading
from matlens.system.untrusted_arrays import read_arrays
from matlens.types import Array, Floats, Labels

FILE_NAME = "novelty.npz"

FALSE_ALARMS = 0.05
"""The share of photos like the validation photos that may be called unknown, unless another is asked for."""

COVERAGE = 0.9
"""The share of photos whose true class is to be in the set, unless another is asked for."""

_FORMAT = 1
_ARRAYS = {"format": ("i", 0), "head": ("U", 0), "detector": ("U", 0), "strangeness": ("f", 1),
           "true_probabilities": ("f", 1), "labels": ("i", 1), "groups": ("i", 1)}


@dataclass(frozen=True, eq=False)
class Novelty:
    """A detector with the scores of calibration photos (N,), and how probable their true classes were.

    groups: (N,) the numbers of the photos' groups. classes: how many the model tells apart.
    training: the photos that the detector was fitted on; None in files of earlier versions.
    """

    detector: Detector
    strangeness: Floats
    true_probabilities: Floats
    labels: Labels
    groups: Labels
    classes: int
    training: TrainingPhotos | None = None

    @cached_property
    def _conformal(self) -> Conformal:
        return Conformal(self.strangeness, self.groups)

    @cached_property
    def sets(self) -> PredictionSets:
        """The sets of classes that photos may well be of."""
        return PredictionSets(self.true_probabilities, self.labels, self.groups, self.classes)

    def p_values(self, features: Array) -> Floats:
        """Return for photos (B, K) the share of calibration photos that look at least as strange, in (0, 1]."""
        return self._conformal.p_values(self.detector.strangeness(features))

    def are_unknown(self, p_values: Floats, rate: float = FALSE_ALARMS) -> npt.NDArray[np.bool_]:
        """Return which photos are probably of none of the model's classes, at a rate of false alarms."""
        return np.asarray(p_values <= rate + 1e-12)

    def tells(self, rate: float) -> bool:
        """Return whether there are independent calibration photos enough for this rate of false alarms."""
        return self._conformal.tells(rate)


def write_novelty(folder: Path, novelty: Novelty | None, head: str) -> None:
    """Write what an artifact knows of unknown photos, or remove it (None). head: the SHA-256 of its head."""
    path = folder / FILE_NAME
    if novelty is None:
        path.unlink(missing_ok=True)
        return
    arrays = {name: getattr(novelty, name) for name in ("strangeness", "true_probabilities", "labels", "groups")}
    if novelty.training is not None:
        arrays |= novelty.training.to_arrays(with_features=not isinstance(novelty.detector, NearestNeighbours))
    with whole_file(path) as partial:
        np.savez(partial, allow_pickle=False, format=np.array(_FORMAT), head=np.array(head),
                 detector=np.array(novelty.detector.name), **arrays, **novelty.detector.to_arrays())


def read_novelty(folder: Path, head: str, classes: int) -> Novelty | None:
    """Read what `write_novelty` wrote. Returns None where there is none, as in artifacts of earlier versions.

    Raises ModelError where it is damaged, or of another head or number of classes.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    of_detectors = {name: rule for detector in DETECTORS.values() for name, rule in detector.arrays.items()}
    wanted = {**_ARRAYS, **training_photos.ARRAYS, **of_detectors}
    with reading(path, "what a matlens artifact says of unknown photos", ModelError,
                 f"Make it again with: {how_to_get(folder)}"):
        inside(folder, FILE_NAME)
        arrays = read_arrays(path, wanted)
        if int(arrays["format"]) != _FORMAT or str(arrays["head"]) != head:
            raise ValueError("it is of another model, or of another version of matlens")
        strangeness, true, labels, groups = (arrays[name] for name in ("strangeness", "true_probabilities", "labels",
                                                                       "groups"))
        n = len(strangeness)
        if not n or {len(true), len(labels), len(groups)} != {n} or not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError("its photos do not fit together")
        if not (np.isfinite(strangeness).all() and true.min() >= 0 and true.max() <= 1):
            raise ValueError("its scores are impossible")
        detector = DETECTORS[str(arrays["detector"])].of(arrays)
        return Novelty(detector, strangeness.astype(np.float64), true.astype(np.float64), labels.astype(np.int64),
                       groups.astype(np.int64), classes, TrainingPhotos.read(arrays, classes, detector.width))


def how_to_get(folder: Path) -> str:
    """Return the command that gives the artifact in a folder what it lacks to know unknown photos."""
    return command("evaluate", folder.parent.parent if folder.parent.name == "models" else "RUN")
