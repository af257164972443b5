"""Read `<name>_training.json`, the record that a training leaves beside its model (`training.record` writes it)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from matlens.errors import RunError
from matlens.models.precision import Precision
from matlens.runs.record import RunRecord
from matlens.settings.themes.feature_precision import FeatureArithmetic
from matlens.system.files import read_json, write_json
from matlens.system.untrusted import reading
from matlens.types import Count

_Share = Annotated[float, Field(ge=0, le=1)]

Predictor = Literal["artifact", "framework"]

_CURVES = frozenset({"loss", "accuracy", "val_loss", "val_accuracy"})


class PrecisionSchema(BaseModel):
    """What features in fewer bits cost, with the bounds of its values; see `features.precision.comparison`."""

    model_config = ConfigDict(allow_inf_nan=False)

    asked: Literal["bfloat16"]
    used: FeatureArithmetic
    n_photos: Count
    float32_accuracy: _Share
    accuracy: _Share
    agreement: _Share
    parity: _Share


class TrainingRecord(BaseModel):
    """The keys of the record that are read, and their bounds (`training.record.training_record` explains them).

    arithmetic: in which the network was trained; files of the first version call it `precision`.
    weights_sha256: of the file of pretrained weights; None for random ones, and where a file does not say.
    device: on which the network was trained; empty where a file does not say.
    predicted_by: what made the predictions that are saved: the artifact, or the framework of one that is marked.
    head_epochs: the first so many epochs trained the head alone, as the recipe `strong` begins.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    history: dict[str, list[float]]
    best_epoch: Annotated[int, Field(ge=1)]
    epochs: Annotated[int, Field(ge=1)]
    head_epochs: Count = 0
    parameters: Count
    trainable_parameters: Count
    pretrained: bool
    weights_sha256: str | None = None
    features_key: str | None = None
    judged_features_key: str | None = None
    feature_precision: PrecisionSchema | None = None
    split_hash: str
    arithmetic: Annotated[Precision, Field(validation_alias=AliasChoices("arithmetic", "precision"))] = "float32"
    micro_batch: Count | None = None
    device: str = ""
    predicted_by: Predictor = "artifact"
    remarks: list[str]
    seconds: dict[str, float]
    peak_rss_bytes: Count
    versions: dict[str, str]

    @model_validator(mode="after")
    def _fits(self) -> TrainingRecord:
        if not self.history.keys() >= _CURVES or {len(curve) for curve in self.history.values()} != {self.epochs} or (
                max(self.best_epoch, self.head_epochs) > self.epochs):
            raise ValueError("its epochs do not fit together")
        return self

    @property
    def strength(self) -> float | None:
        """The strength of the penalty that the recipe `probe` chose: its curves have a value for each strength tried.

        None by other recipes, whose curves have a value for each epoch.
        """
        return self.history["strength"][self.best_epoch - 1] if "strength" in self.history else None

    @property
    def neighbours(self) -> int | None:
        """How many photos vote, of those numbers that the head `knn` tried: its curves have a value for each; or None.
        """
        return int(self.history["neighbours"][self.best_epoch - 1]) if "neighbours" in self.history else None

    @property
    def has_epochs(self) -> bool:
        """Whether its curves are of epochs, and not of what the recipe `probe` tried."""
        return self.strength is None and self.neighbours is None

    @classmethod
    def read(cls, run: RunRecord, name: str) -> TrainingRecord:
        """Read the record of a run's model. Raises RunError."""
        path = run.paths.training_file(name)
        with reading(path, "the record of a training", RunError,
                     f"Delete it; the same command of matlens run then trains {name} again."):
            return cls.model_validate(read_json(path))


def note_seconds(run: RunRecord, name: str, seconds: Mapping[str, float]) -> None:
    """Add the seconds of later steps to the record of a model's training. Raises RunError or WriteError."""
    with _amended(run, name) as content:
        content["seconds"] = {**content["seconds"], **seconds}


def note_predictor(run: RunRecord, name: str, predictor: Predictor) -> None:
    """Record what made the predictions of a model; the artifact need not be said. Raises RunError or WriteError."""
    if TrainingRecord.read(run, name).predicted_by != predictor:
        with _amended(run, name) as content:
            content["predicted_by"] = predictor


@contextmanager
def _amended(run: RunRecord, name: str) -> Iterator[dict[str, Any]]:
    """Give the content of the record of a model's training to be changed, and write it. Raises RunError or WriteError.
    """
    path = run.paths.training_file(name)
    with reading(path, "the record of a training", RunError,
                 f"Delete it; the same command of matlens run then trains {name} again."):
        content: dict[str, Any] = read_json(path)
        yield content
    write_json(path, content)
