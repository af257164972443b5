"""What `<name>_results.json` may hold: types and ranges, checked before use, in files that may be anyone's."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

_Share = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=0, le=10**18)]
_Side = Annotated[int, Field(ge=1, le=10**6)]


class _Part(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False, extra="allow")


class _Interval(_Part):
    low: float
    high: float
    method: str
    confidence: float = 0.95
    draws: _Count | None = None


class _ClassScores(_Part):
    precision: _Share
    recall: _Share
    f1: _Share
    support: _Count = 0


class _ClassIntervals(_Part):
    precision: _Interval | None = None
    recall: _Interval | None = None
    f1: _Interval | None = None


class _Intervals(_Part):
    """By score; `per_class` by class and score."""

    __pydantic_extra__: dict[str, _Interval | None]

    per_class: dict[str, _ClassIntervals] = {}


class _RocAuc(_Part):
    per_class: dict[str, _Share | None] = {}
    micro: _Share | None = None
    macro: _Share | None = None


class _Bin(_Part):
    low: _Share
    high: _Share
    n: _Count
    confidence: float | None = None
    accuracy: _Share | None = None


class _Calibration(_Part):
    ece: _Share
    bins: list[_Bin]
    temperature: float | None = None
    n_validation: _Count | None = None
    ece_after: _Share | None = None
    bins_after: list[_Bin] | None = None
    log_loss_after: float | None = None
    brier_after: float | None = None
    remark: str | None = None


class _Point(_Part):
    coverage: _Share
    accuracy: _Share
    threshold: float


class _Coverage(_Part):
    aurc: float
    excess_aurc: float
    coverage_at: dict[str, _Share | None]
    curve: list[_Point]


class _Pair(_Part):
    true: str
    predicted: str
    photos: _Count
    share: _Share
    interval: _Interval | None = None


class _Group(_Part):
    classes: list[str]
    precision: _Share | None = None
    recall: _Share | None = None
    support: _Count


class _Groups(_Part):
    accuracy: _Share
    interval: _Interval | None = None
    mistakes: _Count
    mistakes_inside: _Count
    per_group: dict[str, _Group]
    source: str


class ResultsSchema(_Part):
    """The fields of `evaluation.results.Results`; others are passed over."""

    model_name: Annotated[str, Field(max_length=1000)]
    class_names: Annotated[list[str], Field(min_length=1, max_length=10_000)]
    n_test: _Count
    accuracy: _Share
    macro_precision: _Share
    macro_recall: _Share
    macro_f1: _Share
    per_class: dict[str, _ClassScores]
    classification_report: str
    confusion_matrix: list[list[_Count]]
    roc_auc: _RocAuc
    mean_class_accuracy: _Share | None = None
    balanced_accuracy: _Share | None = None
    top_k: dict[str, _Share | None] = {}
    cohen_kappa: Annotated[float, Field(ge=-1, le=1)] | None = None
    log_loss: Annotated[float, Field(ge=0)] | None = None
    brier: Annotated[float, Field(ge=0, le=2.001)] | None = None
    calibration: _Calibration | None = None
    coverage: _Coverage | None = None
    confused_pairs: list[_Pair] = []
    groups: _Groups | None = None
    intervals: _Intervals | None = None
    split_hash: str = ""
    protocol: str = ""
    train_on: str = "train"
    seed: int | None = None
    pretrained: bool | None = None
    parameters: _Count | None = None
    trainable_parameters: _Count | None = None
    img_size: tuple[_Side, _Side] | None = None
    epochs: _Count | None = None
    best_epoch: _Count | None = None
    precision: str | None = None
    batch_size: _Count | None = None
    micro_batch: _Count | None = None
    seconds: dict[str, Annotated[float, Field(ge=0)]] = {}
    peak_rss_bytes: _Count | None = None
    versions: dict[str, str] = {}
    remarks: list[str] = []
    faithfulness: dict[str, Any] | None = None
    robustness: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _fits(self) -> ResultsSchema:
        names, width = set(self.class_names), len(self.class_names)
        if set(self.per_class) != names or (self.confusion_matrix and len(self.confusion_matrix) != width) or any(
                len(row) != width for row in self.confusion_matrix):
            raise ValueError("its classes do not fit together")
        return self
