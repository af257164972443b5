"""The figures of one model as its tab shows them: measures with their intervals, calibration, abstention, classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matlens.evaluation.results import Results
from matlens.report.words import Ends, ends, percent, percents, three


@dataclass(frozen=True)
class Measure:
    """A line of the table of measures: value and interval in words, and what is best."""

    name: str
    value: str
    interval: str
    meaning: str


@dataclass(frozen=True)
class ClassScore:
    """One class's scores with their intervals; a sorting table reads the values."""

    name: str
    scores: tuple[tuple[float | None, str], ...]
    support: int


@dataclass(frozen=True)
class Calibrated:
    """A measure of the probabilities as trained, and at the fitted temperature."""

    name: str
    before: str
    after: str


_SHARES = (
    ("accuracy", "Accuracy", "test photos that are right"),
    ("mean_class_accuracy", "Mean class accuracy", "mean of the classes' recalls, as papers on MINC report it"),
    ("top_3", "Top-3 accuracy", "the true class is among the three most probable"),
    ("top_5", "Top-5 accuracy", "the true class is among the five most probable"),
    ("macro_precision", "Macro precision", "of a class's answers those that are right, mean over classes"),
    ("macro_recall", "Macro recall", "of a class's photos those that are found, mean over classes"),
    ("macro_f1", "Macro F1", "harmonic mean of the two, mean over classes"),
    ("roc_auc_macro", "Macro AUC", "area under the ROC curve, mean over classes"),
    ("balanced_accuracy", "Balanced accuracy", "mean class accuracy by scikit-learn's name"),
)
_NUMBERS = (
    ("cohen_kappa", "Cohen's kappa", "agreement beyond chance; 1 is best"),
    ("log_loss", "Log loss", "nats; 0 is best"),
    ("brier", "Brier score", "0 to 2; 0 is best"),
)


def measures(results: Results) -> tuple[Measure, ...]:
    """All that is known, shares first; what a model of few classes has none of (top-5) is left out."""
    intervals = results.intervals
    known = {"top_3": results.top_k.get("3"), "top_5": results.top_k.get("5"),
             "roc_auc_macro": results.roc_auc.get("macro")}

    def value(name: str) -> float | None:
        found: float | None = known[name] if name in known else getattr(results, name)
        return found

    def three_to(found: Ends | None) -> str:
        return f"{found[0]:.3f} to {found[1]:.3f}" if found else ""

    lines = [Measure(title, percent(value(name)), percents(ends(intervals.get(name))), meaning)
             for name, title, meaning in _SHARES if value(name) is not None]
    lines += [Measure(title, three(value(name)), three_to(ends(intervals.get(name))), meaning)
              for name, title, meaning in _NUMBERS if value(name) is not None]
    ece = (results.calibration or {}).get("ece")
    if ece is not None:
        lines.append(Measure("ECE", percent(ece), "", "expected calibration error; 0 is best"))
    aurc = (results.coverage or {}).get("aurc")
    if aurc is not None:
        lines.append(Measure("AURC", three(aurc), "", "area under the risk-coverage curve; 0 is best"))
    return tuple(lines)


def calibrated(results: Results) -> tuple[Calibrated, ...]:
    """What the temperature changes; nothing where none was fitted."""
    found = results.calibration or {}
    if found.get("temperature") is None:
        return ()
    return (Calibrated("ECE", percent(found["ece"]), percent(found["ece_after"])),
            Calibrated("Log loss", three(results.log_loss), three(found["log_loss_after"])),
            Calibrated("Brier score", three(results.brier), three(found["brier_after"])))


def answered(results: Results) -> tuple[tuple[str, str], ...]:
    """(accuracy asked for, share of photos that can be answered with it), of the coverage curve."""
    at = (results.coverage or {}).get("coverage_at") or {}
    return tuple((f"{float(target):.0%}".replace("%", "\u00a0%"),
                  "no share of photos" if share is None else f"{percent(share)} of photos")
                 for target, share in at.items())


def class_scores(results: Results) -> tuple[ClassScore, ...]:
    """Recall, precision, F1 and AUC of each class, in the order of the results."""
    of_classes: Mapping[str, Any] = results.intervals.get("per_class") or {}
    auc = results.roc_auc.get("per_class") or {}
    return tuple(ClassScore(
        name, (*((score[key], percents(ends((of_classes.get(name) or {}).get(key))))
                 for key in ("recall", "precision", "f1")), (auc.get(name), "")), int(score["support"]))
        for name, score in results.per_class.items())
