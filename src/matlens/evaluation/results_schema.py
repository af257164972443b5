"""What `<name>_results.json` may hold: types and ranges, checked before use, in files that may be anyone's."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from matlens.evaluation.metrics.metric import METRICS
from matlens.evaluation.metrics.stored import value_at
from matlens.features.calibrator import Calibrator
from matlens.runs.training_record import PrecisionSchema
from matlens.types import Count

_Share = Annotated[float, Field(ge=0, le=1)]
_Side = Annotated[int, Field(ge=1, le=10**6)]


class _Part(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False, extra="allow")


class _ScoreSchema(_Part):
    value: float | None
    low: float | None = None
    high: float | None = None


class _IntervalSchema(_Part):
    low: float
    high: float
    method: str
    confidence: float = 0.95
    draws: Count | None = None


class _ClassScoresSchema(_Part):
    precision: _Share
    recall: _Share
    f1: _Share
    support: Count = 0


class _ClassIntervalsSchema(_Part):
    precision: _IntervalSchema | None = None
    recall: _IntervalSchema | None = None
    f1: _IntervalSchema | None = None


class _IntervalsSchema(_Part):
    """By score; `per_class` by class and score."""

    __pydantic_extra__: dict[str, _IntervalSchema | None]

    per_class: dict[str, _ClassIntervalsSchema] = {}


class _RocAucSchema(_Part):
    per_class: dict[str, _Share | None] = {}
    micro: _Share | None = None
    macro: _Share | None = None


class _BinSchema(_Part):
    low: _Share
    high: _Share
    n: Count
    confidence: float | None = None
    accuracy: _Share | None = None


def _a_calibrator(content: dict[str, Any]) -> dict[str, Any]:
    Calibrator.from_json(content)
    return content


class _CandidateSchema(_Part):
    method: str
    gain: float
    error: Annotated[float, Field(ge=0)]


class _CalibrationSchema(_Part):
    ece: _Share
    bins: list[_BinSchema]
    temperature: float | None = None
    n_validation: Count | None = None
    ece_after: _Share | None = None
    bins_after: list[_BinSchema] | None = None
    log_loss_after: float | None = None
    brier_after: float | None = None
    accuracy_after: _Share | None = None
    n_groups: Count | None = None
    candidates: list[_CandidateSchema] | None = None
    calibrator: Annotated[dict[str, Any], AfterValidator(_a_calibrator)] | None = None
    remark: str | None = None


class _StatedShareSchema(_Part):
    share: _Share
    interval: _IntervalSchema | None = None
    stated: _Share | None = None


class _SetsSchema(_StatedShareSchema):
    mean_size: Annotated[float, Field(ge=0)]
    single: _Share
    lowest_class: _Share


class _StatedSetsSchema(_Part):
    stated: _Share
    overall: _SetsSchema | None = None
    by_class: _SetsSchema | None = None
    untold: list[str] = []


class _DetectorSchema(_Part):
    detector: str
    area: _Share


class _NoveltySchema(_Part):
    """Where a detector is named, all of the others are there."""

    format: Annotated[int, Field(ge=1, le=1)]
    detector: str | None
    remark: str = ""
    head: str = ""
    candidates: list[_DetectorSchema] = []
    n_validation: Count = 0
    n_groups: Count = 0
    left_out: Count = 0
    n_test: Count = 0
    false_alarms: _StatedShareSchema | None = None
    coverage: _StatedSetsSchema | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> _NoveltySchema:
        alarms = self.false_alarms
        if self.detector and (self.coverage is None or alarms is None or alarms.stated is None):
            raise ValueError("what it says of unknown photos is not whole")
        return self


class _WarningSchema(_Part):
    kind: str
    text: str


class _CoveragePointSchema(_Part):
    coverage: _Share
    accuracy: _Share
    threshold: float


class _CoverageSchema(_Part):
    aurc: float
    excess_aurc: float
    coverage_at: dict[str, _Share | None]
    curve: list[_CoveragePointSchema]


class _PairSchema(_Part):
    true: str
    predicted: str
    photos: Count
    share: _Share
    interval: _IntervalSchema | None = None


class _GroupSchema(_Part):
    classes: list[str]
    precision: _Share | None = None
    recall: _Share | None = None
    support: Count


class _GroupsSchema(_Part):
    accuracy: _Share
    interval: _IntervalSchema | None = None
    mistakes: Count
    mistakes_inside: Count
    per_group: dict[str, _GroupSchema]
    source: str


class ResultsSchema(_Part):
    """The fields of `evaluation.results.Results`; others are ignored. Scores keep to their metrics' bounds."""

    model_name: Annotated[str, Field(max_length=1000)]
    class_names: Annotated[list[str], Field(min_length=1, max_length=10_000)]
    n_test: Count
    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    per_class: dict[str, _ClassScoresSchema]
    classification_report: str
    confusion_matrix: list[list[Count]]
    roc_auc: _RocAucSchema
    mean_class_accuracy: float | None = None
    balanced_accuracy: float | None = None
    top_k: dict[str, float | None] = {}
    cohen_kappa: float | None = None
    log_loss: float | None = None
    brier: float | None = None
    calibration: _CalibrationSchema | None = None
    coverage: _CoverageSchema | None = None
    confused_pairs: list[_PairSchema] = []
    groups: _GroupsSchema | None = None
    intervals: _IntervalsSchema | None = None
    split_hash: str = ""
    photos_hash: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    protocol: str = ""
    train_on: str = "train"
    seed: Count | None = None
    pretrained: bool | None = None
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    parameters: Count | None = None
    trainable_parameters: Count | None = None
    img_size: tuple[_Side, _Side] | None = None
    epochs: Count | None = None
    best_epoch: Count | None = None
    strength: Annotated[float, Field(gt=0)] | None = None
    neighbours: Annotated[int, Field(gt=0)] | None = None
    arithmetic: str | None = None
    feature_precision: PrecisionSchema | None = None
    batch_size: Count | None = None
    micro_batch: Count | None = None
    seconds: dict[str, Annotated[float, Field(ge=0)]] = {}
    peak_rss_bytes: Count | None = None
    versions: dict[str, str] = {}
    remarks: list[str] = []
    warnings: list[_WarningSchema] = []
    faithfulness: dict[str, Any] | None = None
    robustness: dict[str, Any] | None = None
    novelty: _NoveltySchema | None = None
    scores: dict[str, _ScoreSchema] = {}
    n_groups: Count | None = None
    design_effect: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> ResultsSchema:
        names, width = set(self.class_names), len(self.class_names)
        if set(self.per_class) != names or (self.confusion_matrix and len(self.confusion_matrix) != width) or any(
                len(row) != width for row in self.confusion_matrix):
            raise ValueError("its classes do not fit together")
        return self

    @model_validator(mode="after")
    def _scores_are_possible(self) -> ResultsSchema:
        """Hold every score to its metric's bounds: in `scores`, and where the guide's keys have it."""
        content = self.model_dump(include={metric.key.partition(".")[0] for metric in METRICS.entries()} | {"scores"})
        for metric in METRICS.entries():
            for key in filter(None, (metric.key, f"scores.{metric.name}.value")):
                value = value_at(content, key)
                if value is not None and not metric.holds(value):
                    raise ValueError(f"{key} is {value}, not between {metric.bounds[0]:g} and {metric.bounds[1]:g}")
        return self
