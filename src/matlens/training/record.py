"""What a training leaves beside the model: `<name>_training.json`, and what goes into the model file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from matlens.data.split.splits import Split
from matlens.errors import RunError
from matlens.features.artifact import Artifact
from matlens.models.precision import Precision
from matlens.models.registry import spec_of
from matlens.runs.run import Run
from matlens.settings.schema import Settings
from matlens.system.files import read_json, write_json
from matlens.system.resources import peak_rss_bytes
from matlens.training.history import History


class Clock:
    """Wall-clock seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str, at_least: float = 0.0) -> None:
        """A stage has ended now. at_least: what is known of it from an earlier process, too."""
        now = time.perf_counter()
        self.seconds[stage] = round(max(now - self._last, at_least), 3)
        self._last = now


def about_model(name: str, split: Split, settings: Settings) -> dict[str, Any]:
    """What a model file says of itself."""
    return {"model_name": name, "class_names": split.class_names, "img_size": settings.img_size,
            "options": settings.options_of(name), "input": spec_of(name).input}


def training_record(name: str, history: History, split: Split, artifact: Artifact, seconds: dict[str, float], *,
                    parameters: tuple[int, int], weights_file: Path | None, remarks: Sequence[str],
                    versions: dict[str, str], precision: Precision = "float32", views: int | None = None,
                    features_key: str | None = None, cut: str | None = None,
                    micro_batch: int | None = None) -> dict[str, Any]:
    """The content of `<name>_training.json`.

    views: how many fixed views of each photo; None where photos were varied anew in each epoch, or not at all.
    features_key: of the features that a head was trained on; None where anything else was trained.
    cut: the layer after which the network was trained; None where all of it was, or its head alone.
    micro_batch: how many photos of a batch were computed at once, if memory did not hold the whole.
    """
    total, trainable = parameters
    if precision != "float32":
        remarks = [*remarks, f"trained in mixed precision ({precision})"]
    if micro_batch is not None:
        remarks = [*remarks, f"memory was short: batches went through in parts of {micro_batch}, which batch "
                             "normalisation, where it was trained, saw apart"]
    return {
        "model_name": name, "history": history.history, "best_epoch": history.best.number,
        "epochs": len(history.epochs), "photos_per_second": float(np.median([e.photos_per_second for e in history])),
        "parameters": total, "trainable_parameters": trainable, "pretrained": weights_file is not None,
        "weights_file": weights_file.name if weights_file else None, "views": views,
        "features_key": features_key, "cut": cut, "split_hash": split.hash,
        "parity": artifact.parity, "precision": precision, "micro_batch": micro_batch,
        "remarks": list(remarks), "seconds": seconds,
        "peak_rss_bytes": peak_rss_bytes(), "versions": versions}


_Count = Annotated[int, Field(ge=0, le=10**18)]
_CURVES = frozenset({"loss", "accuracy", "val_loss", "val_accuracy"})


class TrainingRecord(BaseModel):
    """What is read of `<name>_training.json` (`training_record` says what it means), within bounds."""

    model_config = ConfigDict(allow_inf_nan=False)

    history: dict[str, list[float]]
    best_epoch: Annotated[int, Field(ge=1)]
    epochs: Annotated[int, Field(ge=1)]
    parameters: _Count
    trainable_parameters: _Count
    pretrained: bool
    features_key: str | None = None
    split_hash: str
    precision: Precision = "float32"
    micro_batch: _Count | None = None
    remarks: list[str]
    seconds: dict[str, float]
    peak_rss_bytes: _Count
    versions: dict[str, str]

    @model_validator(mode="after")
    def _fits(self) -> TrainingRecord:
        if not self.history.keys() >= _CURVES or {len(curve) for curve in self.history.values()} != {self.epochs} or (
                self.best_epoch > self.epochs):
            raise ValueError("its epochs do not fit together")
        return self

    @classmethod
    def read(cls, folder: Run, name: str) -> TrainingRecord:
        """That of a run's model. Raises RunError."""
        path = folder.paths.training_file(name)
        try:
            return cls.model_validate(read_json(path))
        except (OSError, ValueError) as error:
            raise RunError(f"{path} is missing or damaged. Delete it; the same command of matlens run then "
                                 f"trains {name} again.") from error


def note_seconds(folder: Run, name: str, seconds: dict[str, float]) -> None:
    """Add stages to what a model's training took. Raises RunError or WriteError."""
    content = read_json(folder.paths.training_file(name))
    write_json(folder.paths.training_file(name), {**content, "seconds": {**content["seconds"], **seconds}})
