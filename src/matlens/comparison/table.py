"""Several judged models in one table, best accuracy first: a value that writes itself as CSV and Markdown.

A lead counts for little when it is small against its standard error, and for nothing when two models were
judged on different photos. The table says both.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from matlens.comparison.literature import Published
from matlens.errors import RunFolderError
from matlens.evaluation.results import Results, prediction_rate
from matlens.files import write_text
from matlens.settings import notebook_settings

SCORES = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_auc")
CSV_NAME, MARKDOWN_NAME = "model_comparison.csv", "model_comparison.md"
UNKNOWN = "n/a"
NOT_RANKED = ("Rows marked as published hold others' figures under protocols of their own (see protocol and remarks). "
              "They stand below these models, and are not ranked with them.")
NOT_THE_SAME_PHOTOS = ("These models were not judged on the same photos and must not be ranked by these "
                       "scores. Judge all of them on one split first.")


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


@dataclass(frozen=True)
class Row:
    """One model. Scores are shares in [0, 1]; None stands for unknown; the fields are the CSV's columns."""

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

    @classmethod
    def from_results(cls, results: Results | Mapping[str, Any]) -> Row:
        """Take Results, or what a `<name>_results.json` holds. Raises RunFolderError without an accuracy."""
        known = dataclasses.asdict(results) if isinstance(results, Results) else results
        model, accuracy = str(known.get("model_name") or "a model without a name"), known.get("accuracy")
        share = float(accuracy) if isinstance(accuracy, Real) else math.nan
        if not 0 <= share <= 1:
            raise RunFolderError(f"The results of {model} hold no accuracy between 0 and 1 ({accuracy!r}). "
                                 "Judge it again with: matlens evaluate RUN")
        pretrained = known.get("pretrained")
        macro = {key: known.get(key) for key in ("macro_precision", "macro_recall", "macro_f1")}
        return cls(model, share, **macro,
                   macro_auc=(known.get("roc_auc") or {}).get("macro"),
                   parameters=known.get("parameters"),
                   training_seconds=_training_seconds(known.get("seconds") or {}),
                   prediction_photos_per_second=prediction_rate(known),
                   pretrained="unknown" if pretrained is None else "yes" if pretrained else "no",
                   n_test=int(known.get("n_test") or 0), protocol=str(known.get("protocol") or ""),
                   split_hash=str(known.get("split_hash") or "")[:12],
                   remarks="; ".join(remark.rstrip(".") for remark in known.get("remarks") or ()))

    @property
    def error(self) -> float | None:
        """The standard error of the accuracy."""
        return standard_error(self.accuracy, self.n_test)


@dataclass(frozen=True)
class Comparison:
    """At least one row; those that were judged on the same photos stand together, the best accuracy first.

    published: others' results, shown below, never ranked.
    """

    rows: tuple[Row, ...]
    published: tuple[Published, ...] = ()

    @property
    def same_photos(self) -> bool:
        """False where split hashes or the number of test photos differ."""
        return len({row.split_hash for row in self.rows}) == len({row.n_test for row in self.rows}) == 1

    def lead(self) -> tuple[float, float] | None:
        """How far the first is ahead of the second in accuracy, and that difference's standard error.

        The error is that of two independent samples. Models that saw the same photos tend to fail on the same
        ones, so it errs on the careful side. None with one model or with different photos.
        """
        if len(self.rows) < 2 or not self.same_photos:
            return None
        first, second = self.rows[:2]
        return first.accuracy - second.accuracy, math.hypot(first.error or 0.0, second.error or 0.0)

    def is_best(self, row: Row, score: str) -> bool:
        """Whether no row has more of a score, as `percent` shows it: what looks equal is equal."""
        known = [value for each in self.rows if (value := getattr(each, score)) is not None]
        return self.same_photos and bool(known) and percent(getattr(row, score)) == percent(max(known))

    def to_csv(self) -> str:
        """Full precision, plain numbers, empty where unknown."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows([*map(dataclasses.asdict, self.rows), *(each.cells for each in self.published)])
        return text.getvalue()

    @property
    def _columns(self) -> list[str]:
        return [field.name for field in dataclasses.fields(Row)] + ["source"] * bool(self.published)

    def to_markdown(self) -> str:
        """Percentages, the best of each score in bold; below it what one must know before ranking."""
        names = [name for name in self._columns if name != "remarks"]
        text_columns = {"model", "pretrained", "protocol", "split_hash", "source"}

        def shown(value: Any, name: str) -> str:
            if name in SCORES:
                return percent(value)
            if value is None or value == "":
                return UNKNOWN
            if isinstance(value, float):
                return f"{value:,.1f}"
            return f"{value:,}" if isinstance(value, int) else escape(value)

        def cell(row: Row, name: str) -> str:
            text = shown(getattr(row, name, None), name)
            return f"**{text}**" if name in SCORES and self.is_best(row, name) else text

        table = [[name.replace("_", " ") for name in names],
                 ["---" if name in text_columns else "---:" for name in names],
                 *([cell(row, name) for name in names] for row in self.rows),
                 *([shown(each.cells.get(name), name) for name in names] for each in self.published)]
        errors = ", ".join(f"{escape(row.model)} ± {100 * row.error:.1f}" for row in self.rows
                           if row.error is not None)
        notes = [] if self.same_photos else [f"**{NOT_THE_SAME_PHOTOS}**"]
        if errors:
            notes.append(f"Standard error of the accuracy in percentage points, sqrt(p(1-p)/n): {errors}.")
        if self.published:
            notes.append(NOT_RANKED)
        remarks = [f"- {escape(model)}: {escape(text)}" for model, text in
                   [*((row.model, row.remarks) for row in self.rows),
                    *((each.cells["model"], each.differs) for each in self.published)] if text]
        if remarks:
            notes.append("\n".join(["Remarks:", "", *remarks]))
        return "\n\n".join(["\n".join(f"| {' | '.join(line)} |" for line in table), *notes]) + "\n"

    def _repr_markdown_(self) -> str:  # what a notebook shows
        return self.to_markdown()

    def write(self, folder: Path | str) -> tuple[Path, Path]:
        """Write model_comparison.csv and model_comparison.md, each whole or not at all."""
        return (write_text(Path(folder) / CSV_NAME, self.to_csv()),
                write_text(Path(folder) / MARKDOWN_NAME, self.to_markdown()))


def escape(text: str) -> str:
    """Keep a name or sentence of the user's inside its Markdown cell, and as it was spelled."""
    return re.sub(r"([\\|`*<\[\]])", r"\\\1", " ".join(text.split()))


def compare(results_list: Iterable[Results | Mapping[str, Any]], published: tuple[Published, ...] = ()) -> Comparison:
    """Put judged models side by side, best accuracy first, and `published` results below them.

    `results_list` holds Results, or what `<name>_results.json` holds. Raises RunFolderError where there is
    nothing to compare or a model has no accuracy.
    """
    rows = [Row.from_results(results) for results in results_list]
    if not rows:
        raise RunFolderError("There is no judged model to compare. Train and judge one with: matlens run "
                             "--data DIR. Judge one that is trained with: matlens evaluate RUN")
    best_first = sorted(rows, key=lambda row: (-row.accuracy, row.model))
    splits = list(dict.fromkeys((row.split_hash, row.n_test) for row in best_first))
    return Comparison(tuple(sorted(best_first, key=lambda row: splits.index((row.split_hash, row.n_test)))), published)


def compare_models(results_list: Iterable[Results | Mapping[str, Any]],
                   save_dir: Path | str | None = None) -> Comparison:
    """The same, and the table written into `save_dir` (by default REPORTS_DIR) as CSV and Markdown."""
    comparison = compare(results_list)
    comparison.write(save_dir if save_dir is not None else notebook_settings().reports_dir)
    return comparison
