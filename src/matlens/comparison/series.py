"""Models that were judged on several splits: mean and standard deviation over them, best mean accuracy first."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matlens.comparison.literature import Published
from matlens.comparison.markdown import NOT_RANKED, escape, markdown_table
from matlens.comparison.table import CSV_NAME, MARKDOWN_NAME
from matlens.errors import ResultsError
from matlens.evaluation.metrics.metric import UNKNOWN, percent
from matlens.evaluation.results import Results
from matlens.system.files import write_json, write_text

SERIES_JSON = "series_results.json"


@dataclass(frozen=True)
class Spread:
    """Of a score over splits, a share in [0, 1]: mean, and sample standard deviation (n - 1; None of one value)."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        """76.0 ± 0.2 %."""
        deviation = "" if self.deviation is None else f" ± {100 * self.deviation:.1f}"
        return f"{100 * self.mean:.1f}{deviation} %"


@dataclass(frozen=True)
class SeriesRow:
    """One model. splits: those that it was judged on; missing: those that it was not.

    A series shows two headline scores, accuracy and macro F1; the tables of its runs have all metrics.
    """

    model: str
    splits: tuple[str, ...]
    missing: tuple[str, ...]
    accuracy: Spread
    macro_f1: Spread
    n_test: tuple[int, ...]
    split_hashes: tuple[str, ...]
    train_on: str
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class SeriesComparison:
    """At least one row, best mean accuracy first. published: others' results, shown below, never ranked."""

    protocol: str
    rows: tuple[SeriesRow, ...]
    published: tuple[Published, ...] = ()

    @classmethod
    def of(cls, protocol: str, results: Mapping[str, Sequence[Results]]) -> SeriesComparison:
        """Compare the results of each split, by its protocol. Raises ResultsError where there are none."""
        models = dict.fromkeys(result.model_name for judged in results.values() for result in judged)
        if not models:
            raise ResultsError("There is no judged model to compare yet. The same matlens run goes on from here.")
        rows = [_row(model, results) for model in models]
        return cls(protocol, tuple(sorted(rows, key=lambda row: (-row.accuracy.mean, row.model))))

    @property
    def same_photos(self) -> bool:
        """Whether all models were judged on all splits, and on the same ones; else means must not be ranked."""
        return not any(row.missing for row in self.rows) and len({row.split_hashes for row in self.rows}) == 1

    def to_json(self) -> dict[str, Any]:
        """Return {protocol, models: {name: {accuracy: {mean, standard_deviation, by_split}, ...}}}."""
        def spread(row: SeriesRow, score: Spread) -> dict[str, Any]:
            return {"mean": score.mean, "standard_deviation": score.deviation,
                    "by_split": dict(zip(row.splits, score.values, strict=True))}

        return {"format": 1, "protocol": self.protocol, "models": {row.model: {
            "accuracy": spread(row, row.accuracy), "macro_f1": spread(row, row.macro_f1), "missing": row.missing,
            "n_test": dict(zip(row.splits, row.n_test, strict=True)), "train_on": row.train_on,
            "remarks": row.remarks} for row in self.rows}}

    def to_csv(self) -> str:
        """Write a line for each model: full precision, and the number of splits that a mean is over."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["model", "protocol", "n_splits", "mean_accuracy", "sd_accuracy", "min_accuracy",
                         "max_accuracy", "mean_macro_f1", "sd_macro_f1", "n_test", "train_on", "remarks"])
        for row in self.rows:
            writer.writerow([row.model, self.protocol, len(row.splits), row.accuracy.mean, row.accuracy.deviation,
                             min(row.accuracy.values), max(row.accuracy.values), row.macro_f1.mean,
                             row.macro_f1.deviation, sum(row.n_test), row.train_on, "; ".join(row.remarks)])
        for other in self.published:
            writer.writerow([other.cells["model"], other.protocol, "", other.accuracy, *[""] * 7,
                             f"{other.differs}; {other.source}"])
        return text.getvalue()

    def to_markdown(self) -> str:
        """Write mean ± standard deviation in percent, each split's accuracy, and what one must know."""
        splits = list(dict.fromkeys(split for row in self.rows for split in (*row.splits, *row.missing)))
        head = ["model", "accuracy", "macro F1", *splits]
        lines = [head, ["---", *["---:"] * (len(head) - 1)]]
        for row in self.rows:
            accuracy_on = dict(zip(row.splits, row.accuracy.values, strict=True))
            lines.append([escape(row.model), str(row.accuracy), str(row.macro_f1),
                          *(f"{100 * accuracy_on[split]:.1f} %" if split in accuracy_on else "-" for split in splits)])
        lines += [[escape(f"{other.cells['model']}: {other.protocol}"), percent(other.accuracy),
                   *[UNKNOWN] * (len(head) - 2)]
                  for other in self.published]
        notes = [f"Mean ± sample standard deviation over the splits of {self.protocol}. Their training photos overlap, "
                 "so the deviation is that of the splits, not a standard error of the mean."]
        if not self.same_photos:
            notes.insert(0, "**Not all models were judged on all of the same splits: their means must not be ranked.**")
        if self.published:
            notes.append(NOT_RANKED)
        remarks = [f"- {escape(model)}: {escape(text)}" for model, text in [
            *((row.model, "; ".join(row.remarks)) for row in self.rows),
            *((other.cells["model"], f"{other.differs}; {other.source}") for other in self.published)] if text]
        if remarks:
            notes.append("\n".join(["Remarks:", "", *remarks]))
        return "\n\n".join([markdown_table(lines), *notes]) + "\n"

    def write(self, folder: Path) -> None:
        """Write model_comparison.csv, model_comparison.md and series_results.json, each whole or not at all."""
        write_text(folder / CSV_NAME, self.to_csv())
        write_text(folder / MARKDOWN_NAME, self.to_markdown())
        write_json(folder / SERIES_JSON, self.to_json())


def _row(model: str, results: Mapping[str, Sequence[Results]]) -> SeriesRow:
    by_split = {split: judged for split, models in results.items() for judged in models if judged.model_name == model}
    judged = list(by_split.values())
    return SeriesRow(
        model, tuple(by_split), tuple(split for split in results if split not in by_split),
        Spread(tuple(result.accuracy for result in judged)), Spread(tuple(result.macro_f1 for result in judged)),
        tuple(result.n_test for result in judged), tuple(result.split_hash for result in judged), judged[0].train_on,
        tuple(dict.fromkeys(remark for result in judged for remark in result.remarks)))

