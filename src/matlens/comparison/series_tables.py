"""A series as CSV, Markdown and JSON."""

from __future__ import annotations

import csv
import io
from typing import Any

from matlens.comparison.compared_methods import ComparedMethods, SeriesRow, Spread
from matlens.comparison.markdown import NOT_RANKED, escape, markdown_table
from matlens.comparison.paired_test import p_cell, points
from matlens.comparison.pairwise import Pairwise
from matlens.evaluation.metrics.metric import METRICS, UNKNOWN, Metric, metrics_of, percent

_HEADLINES = ("accuracy", "macro_f1")
"""The metrics whose columns other programs know by the names of `_FIRST_COLUMNS`."""

_FIRST_COLUMNS = ("model", "protocol", "n_splits", "mean_accuracy", "sd_accuracy", "min_accuracy", "max_accuracy",
                  "mean_macro_f1", "sd_macro_f1", "n_test", "train_on", "remarks")


def to_json(compared: ComparedMethods) -> dict[str, Any]:
    """Return {format, over, protocol, models: {name: {accuracy, macro_f1, scores, ...}}, methods, pairwise, notes}."""
    by = "by_seed" if compared.over == "seeds" else "by_split"

    def spread(row: SeriesRow, score: Spread) -> dict[str, Any]:
        return {"mean": score.mean, "standard_deviation": score.deviation, "interval": score.interval,
                by: dict(zip(row.runs, score.values, strict=True))}

    return {"format": 1, "over": compared.over, "protocol": compared.protocol, "models": {row.model: {
        **{name: spread(row, row.scores[name]) for name in _HEADLINES if name in row.scores},
        "scores": {name: spread(row, score) for name, score in row.scores.items()}, "missing": row.missing,
        "n_test": dict(zip(row.runs, row.n_test, strict=True)), "train_on": row.train_on,
        "remarks": row.remarks} for row in compared.rows},
        "methods": [test.to_json() for test in compared.tests], **(compared.pairs or Pairwise(())).to_json(),
        "notes": compared.notes}


def to_csv(compared: ComparedMethods) -> str:
    """Write a line for each model: full precision, and the number of runs that a mean is over."""
    further = [metric.name for metric in METRICS.entries() if metric.table and metric.name not in _HEADLINES]
    columns = [*_FIRST_COLUMNS, "n_seeds", *(f"{name}_{end}" for name in _HEADLINES for end in ("low", "high")),
               *(f"{kind}{name}{end}" for name in further for kind, end in _COLUMNS_OF_A_METRIC)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in compared.rows:
        of_seeds, n_runs = compared.over == "seeds", len(row.runs)
        cells: dict[str, Any] = {
            "model": row.model, "protocol": compared.protocol, "n_splits": 1 if of_seeds else n_runs,
            "n_seeds": n_runs if of_seeds else 1, "n_test": row.n_test[0] if of_seeds else sum(row.n_test),
            "train_on": row.train_on, "remarks": "; ".join(row.remarks), "min_accuracy": min(row.accuracy.values),
            "max_accuracy": max(row.accuracy.values)}
        for name, score in row.scores.items():
            values = (score.mean, score.deviation, *(score.interval or (None, None)))
            cells |= {f"{kind}{name}{end}": value for (kind, end), value in zip(
                _COLUMNS_OF_A_METRIC, values, strict=True)}
        writer.writerow(cells)
    writer.writerows({"model": other.cells["model"], "protocol": other.protocol, "mean_accuracy": other.accuracy,
                      "remarks": f"{other.differs}; {other.source}"} for other in compared.published)
    return text.getvalue()


_COLUMNS_OF_A_METRIC = (("mean_", ""), ("sd_", ""), ("", "_low"), ("", "_high"))


def to_markdown(compared: ComparedMethods) -> str:
    """Write mean ± standard deviation, intervals, each run's accuracy, and what one must know."""
    main = metrics_of("main")
    further = [metric for metric in metrics_of("further") if any(metric.name in row.scores for row in compared.rows)]
    table = _table(compared, main)
    table += [[escape(f"{other.cells['model']}: {other.protocol}"), percent(other.accuracy),
               *[UNKNOWN] * (len(main) - 1)] for other in compared.published]
    notes = [" ".join(compared.explained)]
    if not compared.same_photos:
        what = "the same photos" if compared.over == "seeds" else "all of the same splits"
        notes.insert(0, f"**Not all models were judged on {what}: their means must not be ranked.**")
    notes += ["Accuracy of each run:", markdown_table(_by_run(compared))]
    if further:
        notes += ["More than accuracy:", markdown_table(_table(compared, further))]
    notes += [*_tests(compared), "\n".join(f"- {escape(note)}" for note in compared.notes)]
    if compared.published:
        notes.append(NOT_RANKED)
    remarks = [f"- {escape(model)}: {escape(text)}" for model, text in [
        *((row.model, "; ".join(row.remarks)) for row in compared.rows),
        *((other.cells["model"], f"{other.differs}; {other.source}") for other in compared.published)] if text]
    if remarks:
        notes.append("\n".join(["Remarks:", "", *remarks]))
    return "\n\n".join([markdown_table(table), *filter(None, notes)]) + "\n"


def _table(compared: ComparedMethods, metrics: list[Metric]) -> list[list[str]]:
    return [["model", *(escape(metric.title) for metric in metrics)], ["---", *["---:"] * len(metrics)],
            *([escape(row.model), *(row.in_words(metric) for metric in metrics)] for row in compared.rows)]


def _by_run(compared: ComparedMethods) -> list[list[str]]:
    table = [["model", *compared.runs], ["---", *["---:"] * len(compared.runs)]]
    for row in compared.rows:
        accuracy_of = dict(zip(row.runs, row.accuracy.values, strict=True))
        table.append([escape(row.model), *(percent(accuracy_of[run]) if run in accuracy_of else "-"
                                           for run in compared.runs)])
    return table


def _tests(compared: ComparedMethods) -> list[str]:
    """Write which methods are told apart."""
    if not compared.tests:
        return []
    table = [["first", "second", "difference (points)", "interval", "p (Holm)", "significant?"],
             ["---", "---", *["---:"] * 3, "---"]]
    for test in compared.tests:
        ends = " to ".join(map(points, test.interval)) if test.interval else UNKNOWN
        table.append([escape(test.first), escape(test.second), points(test.difference), ends, p_cell(test.p_holm),
                      "yes" if test.is_real else "no"])
    how = ("for other seeds and other photos, paired by photos, and by seeds where they are shared"
           if compared.over == "seeds" else "Nadeau and Bengio's corrected t over the splits")
    return [f"Which methods differ ({how}; corrected by Holm for {len(compared.tests)} "
            f"pair{'s' * (len(compared.tests) > 1)}; each interval is at the level of its step in Holm's procedure, so "
            "it leaves out 0 where the methods differ significantly):", markdown_table(table),
            "\n".join(f"- {escape(sentence)}" for sentence in compared.sentences())]
