"""What is known of one model after it was judged on the test part: a value that writes and reads itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matlens.errors import ResultsError
from matlens.evaluation.metrics.stored import MetricValue, scores_in
from matlens.evaluation.results_schema import ResultsSchema
from matlens.system.console import command
from matlens.system.files import read_json, write_json
from matlens.system.untrusted import reading

PREDICT_A_PHOTO = "predict_a_photo"
"""Of `seconds`: the mean time of a prediction, of photos decoded beforehand."""

RENAMED = {"precision": "arithmetic"}
"""Keys that files of earlier versions have, and what they are called now."""


@dataclass(frozen=True)
class Results:
    """The content of `<name>_results.json`.

    `scores` holds every metric of the registry by its name, with its interval. The guide's keys (`accuracy`,
    `macro_f1`, `roc_auc`, ...) hold the same values; `roc_auc` values are None where a class has no positive or no
    negative photo. docs/formats.md says what `top_k`, `calibration`, `coverage`, `confused_pairs`, `groups` and
    `intervals` hold.

    `photos_hash` is a hash of the photos' contents and classes (`Predictions.photos_hash`): two results are of the same
    photos exactly if it is the same; empty where the contents are not known, as in files of earlier versions.

    `seconds` maps a stage (train, predict, ...) to its wall-clock seconds. `remarks` are sentences that a reader must
    know before comparing this model (untrained backbone, no augmentation, ...), `warnings` what went wrong in its
    training, as {kind, text} (`evaluation.trouble`). `arithmetic` is what the network was
    trained in (float32, bfloat16, float16); `feature_precision` says in which arithmetic the features of its head were
    computed, where another one than float32 was asked for, and what that costs. Of a step's `batch_size` photos,
    `micro_batch` were computed at once.
    The test photos are of `n_groups` independent groups, and the variance of the accuracy is `design_effect` times that
    of independent photos; both are None, and not written, where each photo stands alone.
    `novelty` says how well photos that the model does not know are told, and how prediction sets do.
    `faithfulness` and `robustness` sum up what was measured on request (`matlens.jobs.measure`).
    """

    model_name: str
    class_names: tuple[str, ...]
    n_test: int
    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    per_class: dict[str, dict[str, float]]
    classification_report: str
    confusion_matrix: list[list[int]]
    roc_auc: dict[str, Any]
    mean_class_accuracy: float | None = None
    balanced_accuracy: float | None = None
    top_k: dict[str, float | None] = field(default_factory=dict)
    cohen_kappa: float | None = None
    log_loss: float | None = None
    brier: float | None = None
    calibration: dict[str, Any] | None = None
    coverage: dict[str, Any] | None = None
    confused_pairs: list[dict[str, Any]] = field(default_factory=list)
    groups: dict[str, Any] | None = None
    intervals: dict[str, Any] = field(default_factory=dict)
    split_hash: str = ""
    photos_hash: str = ""
    protocol: str = ""
    train_on: str = "train"
    seed: int | None = None
    pretrained: bool | None = None
    weights_sha256: str | None = None
    parameters: int | None = None
    trainable_parameters: int | None = None
    img_size: tuple[int, int] | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    strength: float | None = None
    neighbours: int | None = None
    arithmetic: str | None = None
    feature_precision: dict[str, Any] | None = None
    batch_size: int | None = None
    micro_batch: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    peak_rss_bytes: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    warnings: list[dict[str, str]] = field(default_factory=list)
    faithfulness: dict[str, Any] | None = None
    robustness: dict[str, Any] | None = None
    novelty: dict[str, Any] | None = None
    scores: dict[str, MetricValue] = field(default_factory=dict)
    n_groups: int | None = None
    design_effect: float | None = None

    def __post_init__(self) -> None:
        """Complete `scores` from the other fields, so that both always say the same."""
        object.__setattr__(self, "scores", scores_in(vars(self)))

    def __repr__(self) -> str:
        return (f"Results({self.model_name}: accuracy {self.accuracy:.1%}, macro F1 {self.macro_f1:.1%}, "
                f"{self.n_test} photos)")

    @property
    def prediction_photos_per_second(self) -> float | None:
        """The rate of prediction."""
        return prediction_rate(self.seconds)

    def to_json(self) -> dict[str, Any]:
        """Return the content of the file."""
        absent = {"n_groups", "design_effect"} if self.n_groups is None else set()
        absent |= {name for name in ("strength", "neighbours", "feature_precision") if getattr(self, name) is None}
        return {key: value for key, value in dataclasses.asdict(self).items() if key not in absent}

    def write(self, path: Path) -> Path:
        """Write as JSON, whole or not at all."""
        return write_json(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read what `write` wrote, in this version or an earlier one; unknown keys are ignored. Raises ResultsError."""
        again = command("evaluate", path.parent.parent if path.parent.name == "reports" else "RUN")
        with reading(path, "a results file of matlens", ResultsError, f"Make it again with: {again}"):
            content = read_json(path)
            if isinstance(content, dict):
                content = {RENAMED.get(key, key): value for key, value in content.items()}
            ResultsSchema.model_validate(content)
            fields = {f.name for f in dataclasses.fields(cls)}
            values = {key: value for key, value in content.items() if key in fields}
            for key in ("class_names", "remarks", "img_size"):
                if isinstance(values.get(key), list):
                    values[key] = tuple(values[key])
            return cls(**values)


def prediction_rate(seconds: Mapping[str, float]) -> float | None:
    """Return the photos predicted per second, of the `seconds` of results."""
    return round(1 / seconds[PREDICT_A_PHOTO], 1) if seconds.get(PREDICT_A_PHOTO) else None


def a_photo(photos_per_second: float | None) -> dict[str, float]:
    """Return the entry of `seconds` that tells the rate of prediction, where it is known."""
    return {PREDICT_A_PHOTO: 1 / photos_per_second} if photos_per_second else {}
