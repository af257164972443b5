"""The job `quantise`: make the INT8 artifact of a trained model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matlens.data.batches import read_photos
from matlens.data.split.splits import Photo
from matlens.features.artifact import Artifact
from matlens.features.quantise import CALIBRATION_PHOTOS, quantise_artifact
from matlens.runs.run import Run
from matlens.types import Array
from matlens.workers.frameworks import NOT_NEEDED, spare_imports
from matlens.workers.registry import Tell, job


@dataclass(frozen=True)
class QuantiseTask:
    """The trained model of a run whose artifact is quantised.

    max_drop: percentage points of validation accuracy that may be lost.
    """

    run_dir: Path
    model: str
    max_drop: float


@job("quantise")
def quantise(task: QuantiseTask, tell: Tell) -> None:
    """Make the INT8 artifact of the float32 one. Tells of `judged`: the fields of `Int8Comparison`."""
    run = Run.open(task.run_dir)  # first: settings with a model of timm ask whether PyTorch is there
    # NNCF imports PyTorch wherever it is installed; for OpenVINO's models it needs none of it.
    spare_imports("torch", *NOT_NEEDED)
    split, settings, artifact = run.split, run.settings, Artifact.open(run.paths.artifact(task.model))

    def read(photos: Sequence[Photo]) -> Iterator[Array]:
        return read_photos(run.data_root, photos, artifact.img_size, keep_truncated=settings.keep_truncated)

    train_photos, val_photos = split.part("train"), split.part("val")
    chosen = np.random.default_rng(settings.seed).permutation(len(train_photos))[:CALIBRATION_PHOTOS]
    calibration = list(read([train_photos[i] for i in chosen]))
    comparison = quantise_artifact(artifact, run.paths.int8_artifact(task.model), calibration, read(val_photos),
                                   split.labels(val_photos), task.max_drop)
    tell("judged", **dataclasses.asdict(comparison))
