"""A comparison as Markdown: scores with their intervals, what accuracy does not say, and which differences are real."""

from __future__ import annotations

import re
from typing import Any

from matlens.comparison.compared import ComparedModels
from matlens.comparison.paired_test import p_cell, points
from matlens.comparison.pairwise import MACRO_F1_METHOD, Pairwise
from matlens.comparison.row import FACTS, Row
from matlens.evaluation.metrics.metric import UNKNOWN, Metric, metrics_of
from matlens.system.console import listed

NOT_RANKED = ("Rows marked as published hold others' figures under protocols of their own (see protocol and remarks). "
              "They stand below these models, and are not ranked with them.")
NOT_THE_SAME_PHOTOS = ("These models were not judged on the same photos and must not be ranked by these "
                       "scores. Train all of them in one run (matlens run PHOTOS --models A,B), or in runs of the same "
                       "photos, --protocol and --seed.")

_TEXT_COLUMNS = frozenset({"model", "pretrained", "protocol", "split_hash", "source"})


def markdown(compared: ComparedModels) -> str:
    """Write the tables: the best of each score in bold, and below them what one must know before ranking."""
    metrics = metrics_of("main")
    facts = [*FACTS, *compared.columns_of_groups, *["source"] * bool(compared.published)]

    def shown(value: Any) -> str:
        if value is None or value == "":
            return UNKNOWN
        if isinstance(value, float):
            return f"{value:,.1f}"
        return f"{value:,}" if isinstance(value, int) else escape(value)

    def score(row: Row, metric: Metric) -> str:
        text, ends = metric.in_words(row.value(metric.name)), metric.ends_in_words(row.interval(metric.name))
        text = f"**{text}**" if compared.is_best(row, metric) else text
        return f"{text} ({ends})" if ends else text

    table = [["model", *(escape(metric.title) for metric in metrics), *(name.replace("_", " ") for name in facts)],
             ["---", *["---:"] * len(metrics), *("---" if name in _TEXT_COLUMNS else "---:" for name in facts)],
             *([escape(row.model), *(score(row, metric) for metric in metrics),
                *(shown(getattr(row, name, None)) for name in facts)] for row in compared.rows),
             *([escape(other.cells["model"]), *(metric.in_words(other.cells.get(metric.name)) for metric in metrics),
                *(shown(other.cells.get(name)) for name in facts)] for other in compared.published)]
    errors = ", ".join(f"{escape(row.model)} ± {100 * row.error:.1f}" for row in compared.rows
                       if row.error is not None and not row.interval("accuracy"))
    notes = [] if compared.same_photos else [f"**{NOT_THE_SAME_PHOTOS}** {escape(compared.whose_photos)}"]
    if any(row.interval(metric.name) for row in compared.rows for metric in metrics):
        notes.append(f"In brackets: 95 % confidence intervals, by {escape(compared.intervals_in_words)}.")
    if errors:
        notes.append(f"Standard error of the accuracy in percentage points, sqrt(p(1-p)/n): {errors}.")
    notes += [*_further_table(compared), *_pairs_table(compared.pairs)]
    if compared.choice and (chosen := compared.choice.sentence()):
        notes.append(escape(chosen))
    if compared.published:
        notes.append(NOT_RANKED)
    remarks = [f"- {escape(model)}: {escape(text)}" for model, text in
               [*((row.model, row.remarks) for row in compared.rows),
                *((other.cells["model"], other.differs) for other in compared.published)] if text]
    if remarks:
        notes.append("\n".join(["Remarks:", "", *remarks]))
    return "\n\n".join([markdown_table(table), *notes]) + "\n"


def _further_table(compared: ComparedModels) -> list[str]:
    """Write the table of what accuracy does not say: the metrics that at least one model was judged by."""
    metrics = [metric for metric in metrics_of("further")
               if any(row.value(metric.name) is not None for row in compared.rows)]
    if not metrics:
        return []
    low = [escape(metric.title) for metric in metrics if metric.better == "low"]
    hints = [f"of {listed(low)} less is better"] if low else []
    hints += [f"{escape(metric.title)}: {escape(metric.meaning)}" for metric in metrics if metric.better is None]
    return [f"More than accuracy{' (' * bool(hints)}{'; '.join(hints)}{')' * bool(hints)}:",
            markdown_table([["model", *(escape(metric.title) for metric in metrics)],
                            ["---", *["---:"] * len(metrics)],
                            *([escape(row.model), *(metric.in_words(row.value(metric.name)) for metric in metrics)]
                              for row in compared.rows)])]


def _pairs_table(pairs: Pairwise | None) -> list[str]:
    """Write which differences are real, and how many photos would tell the others."""
    if not pairs or not (pairs.tests or pairs.refused):
        return []
    paragraphs = []
    if pairs.tests:
        lines = [["first", "second", "only first right", "only second right", "difference (points)",
                  "95 % interval", "p", "significant?", "photos needed"],
                 ["---", "---", *["---:"] * 5, "---", "---:"]]
        for test in pairs.tests:
            ends = test.interval
            lines.append([
                escape(test.first), escape(test.second), f"{test.only_first:,}", f"{test.only_second:,}",
                points(test.difference), f"{points(ends.low)} to {points(ends.high)}" if ends else UNKNOWN,
                p_cell(test.p_adjusted), test.outcome_in_words,
                test.needed_in_words or UNKNOWN])
        paragraphs = [f"Which differences are significant ({pairs.method}; photos needed for a power of 80 %):",
                      markdown_table(lines), "\n".join(f"- {escape(sentence)}" for sentence in (
                          *(test.sentence() for test in pairs.tests), *pairs.notes))]
    if pairs.macro_f1:
        lines = [["first", "second", "macro F1 difference (points)", "95 % interval", "p", "significant?"],
                 ["---", "---", *["---:"] * 3, "---"]]
        lines += [[escape(test.first), escape(test.second), points(test.difference),
                   f"{points(test.interval.low)} to {points(test.interval.high)}" if test.interval else UNKNOWN,
                   p_cell(test.p_adjusted), "yes" if test.is_real else "no"]
                  for test in pairs.macro_f1]
        paragraphs += [f"Macro F1 of the same pairs ({MACRO_F1_METHOD}):", markdown_table(lines)]
    return paragraphs + (["\n".join(f"- {escape(why)}" for why in pairs.refused)] if pairs.refused else [])


def markdown_table(table: list[list[str]]) -> str:
    """Join lines of cells; the second line says how columns are aligned."""
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


def escape(text: str) -> str:
    """Keep a name or sentence of the user's inside its Markdown cell, and as it was spelled."""
    return re.sub(r"([\\|`*<\[\]])", r"\\\1", " ".join(text.split()))
