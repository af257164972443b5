"""What a comparison knows of one judged model, and how it is put in words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from matlens.errors import ResultsError
from matlens.evaluation.results import Results, prediction_rate

SCORES = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_auc")
INTERVALS = {"accuracy": "accuracy", "macro_f1": "macro_f1", "macro_auc": "roc_auc_macro"}
"""Scores of a row, and the interval of Results that is theirs; a row has them as <score>_low and <score>_high."""
FURTHER = ("mean_class_accuracy", "top_3", "top_5", "cohen_kappa", "log_loss", "brier", "ece", "temperature", "aurc")
UNKNOWN = "n/a"


def standard_error(share: float, n: int) -> float | None:
    """sqrt(p (1 - p) / n), the binomial standard error of a share `p` of `n` photos; None without photos."""
    return math.sqrt(share * (1 - share) / n) if n > 0 else None


def percent(share: float | None) -> str:
    """0.8634 as '86.3 %'; an unknown share as 'n/a'."""
    return UNKNOWN if share is None else f"{100 * share:.1f} %"


def _training_seconds(seconds: Mapping[str, float]) -> float | None:
    """All that it took to train: features and activations that were computed for it, the head, the network."""
    found = [seconds[stage] for stage in ("features", "head", "activations", "train") if stage in seconds]
    return round(sum(found), 3) if found else None


def _ends(intervals: Mapping[str, Any]) -> dict[str, float | None]:
    found = {score: intervals.get(name) or {} for score, name in INTERVALS.items()}
    return {f"{score}_{end}": each.get(end) for score, each in found.items() for end in ("low", "high")}


def _further(known: Mapping[str, Any]) -> dict[str, float | None]:
    top_k, calibration = known.get("top_k") or {}, known.get("calibration") or {}
    return {**{name: known.get(name) for name in ("mean_class_accuracy", "cohen_kappa", "log_loss", "brier")},
            "top_3": top_k.get("3"), "top_5": top_k.get("5"), "ece": calibration.get("ece"),
            "temperature": calibration.get("temperature"), "aurc": (known.get("coverage") or {}).get("aurc")}


@dataclass(frozen=True)
class Row:
    """One model. Scores are shares in [0, 1]; None stands for unknown; the fields are the CSV's columns.

    <score>_low and <score>_high: the score's 95 % interval. log_loss in nats, brier in [0, 2], ece and aurc in [0, 1].
    """

    model: str
    accuracy: float
    macro_precision: float | None
    macro_recall: float | None
    macro_f1: float | None
    macro_auc: float | None
    parameters: int | None
    training_seconds: float | None
    prediction_photos_per_second: float | None
    pretrained: str
    n_test: int
    protocol: str
    split_hash: str
    remarks: str
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    macro_f1_low: float | None = None
    macro_f1_high: float | None = None
    macro_auc_low: float | None = None
    macro_auc_high: float | None = None
    mean_class_accuracy: float | None = None
    top_3: float | None = None
    top_5: float | None = None
    cohen_kappa: float | None = None
    log_loss: float | None = None
    brier: float | None = None
    ece: float | None = None
    temperature: float | None = None
    aurc: float | None = None

    @classmethod
    def from_results(cls, results: Results | Mapping[str, Any]) -> Row:
        """Take Results, or what a `<name>_results.json` holds. Raises ResultsError without an accuracy."""
        known = dataclasses.asdict(results) if isinstance(results, Results) else results
        model, accuracy = str(known.get("model_name") or "a model without a name"), known.get("accuracy")
        share = float(accuracy) if isinstance(accuracy, Real) else math.nan
        if not 0 <= share <= 1:
            raise ResultsError(f"The results of {model} hold no accuracy between 0 and 1 ({accuracy!r}). "
                                 "Judge it again with: matlens evaluate RUN")
        pretrained = known.get("pretrained")
        macro = {key: known.get(key) for key in ("macro_precision", "macro_recall", "macro_f1")}
        return cls(model, share, **macro,
                   macro_auc=(known.get("roc_auc") or {}).get("macro"),
                   parameters=known.get("parameters"),
                   training_seconds=_training_seconds(known.get("seconds") or {}),
                   prediction_photos_per_second=prediction_rate(known.get("seconds") or {}),
                   pretrained="unknown" if pretrained is None else "yes" if pretrained else "no",
                   n_test=int(known.get("n_test") or 0), protocol=str(known.get("protocol") or ""),
                   split_hash=str(known.get("split_hash") or "")[:12],
                   remarks="; ".join(remark.rstrip(".") for remark in known.get("remarks") or ()),
                   **_ends(known.get("intervals") or {}), **_further(known))

    def to_json(self) -> dict[str, Any]:
        """The fields; None for what is no number (another tool's results may hold NaN)."""
        return {key: None if isinstance(value, float) and not math.isfinite(value) else value
                for key, value in dataclasses.asdict(self).items()}

    def interval(self, score: str) -> tuple[float, float] | None:
        """The 95 % interval of accuracy, macro_f1 or macro_auc, where known."""
        low, high = getattr(self, f"{score}_low", None), getattr(self, f"{score}_high", None)
        return None if low is None or high is None else (low, high)

    @property
    def error(self) -> float | None:
        """The standard error of the accuracy."""
        return standard_error(self.accuracy, self.n_test)


def between(judged: Row | Results) -> str:
    """'86.3 % (82.9 to 89.6)': the accuracy and its interval, where known."""
    row = judged if isinstance(judged, Row) else Row.from_results(judged)
    ends = row.interval("accuracy")
    return percent(row.accuracy) + (f" ({100 * ends[0]:.1f} to {100 * ends[1]:.1f})" if ends else "")
