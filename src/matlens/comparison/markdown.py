"""A comparison as Markdown: scores with their intervals, what accuracy does not say, and which differences are real."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from matlens.comparison.pairwise import Pairwise, points
from matlens.comparison.row import FURTHER, INTERVALS, SCORES, UNKNOWN, Row, percent

if TYPE_CHECKING:
    from matlens.comparison.table import Comparison

NOT_RANKED = ("Rows marked as published hold others' figures under protocols of their own (see protocol and remarks). "
              "They stand below these models, and are not ranked with them.")
NOT_THE_SAME_PHOTOS = ("These models were not judged on the same photos and must not be ranked by these "
                       "scores. Judge all of them on one split first.")


def markdown(comparison: Comparison) -> str:
    """Percentages, the best of each score in bold; below it what one must know before ranking."""
    behind = {f"{score}_{end}" for score in INTERVALS for end in ("low", "high")}
    names = [name for name in comparison.columns if name not in {"remarks", *behind, *FURTHER}]
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
        text = f"**{text}**" if name in SCORES and comparison.is_best(row, name) else text
        ends = row.interval(name)
        return f"{text} ({100 * ends[0]:.1f} to {100 * ends[1]:.1f})" if ends else text

    table = [[name.replace("_", " ") for name in names],
             ["---" if name in text_columns else "---:" for name in names],
             *([cell(row, name) for name in names] for row in comparison.rows),
             *([shown(each.cells.get(name), name) for name in names] for each in comparison.published)]
    errors = ", ".join(f"{escape(row.model)} ± {100 * row.error:.1f}" for row in comparison.rows
                       if row.error is not None and not row.interval("accuracy"))
    notes = [] if comparison.same_photos else [f"**{NOT_THE_SAME_PHOTOS}**"]
    if any(row.interval("accuracy") for row in comparison.rows):
        notes.append("In brackets: 95 % confidence intervals, by bootstrap over the test photos.")
    if errors:
        notes.append(f"Standard error of the accuracy in percentage points, sqrt(p(1-p)/n): {errors}.")
    notes += [*_further_table(comparison), *_pairs_table(comparison.pairs)]
    if comparison.published:
        notes.append(NOT_RANKED)
    remarks = [f"- {escape(model)}: {escape(text)}" for model, text in
               [*((row.model, row.remarks) for row in comparison.rows),
                *((each.cells["model"], each.differs) for each in comparison.published)] if text]
    if remarks:
        notes.append("\n".join(["Remarks:", "", *remarks]))
    return "\n\n".join([markdown_table(table), *notes]) + "\n"


def _further_table(comparison: Comparison) -> list[str]:
    """What accuracy does not say: shares in percent, the rest as it is."""
    known = [name for name in FURTHER if any(getattr(row, name) is not None for row in comparison.rows)]
    if not known:
        return []

    def shown(row: Row, name: str) -> str:
        value = getattr(row, name)
        if name in ("mean_class_accuracy", "top_3", "top_5", "ece"):
            return percent(value)
        return UNKNOWN if value is None else f"{value:.3f}"

    titles = {"log_loss": "log loss", "brier": "Brier", "ece": "ECE", "cohen_kappa": "Cohen's kappa",
              "aurc": "AURC", "top_3": "top-3", "top_5": "top-5"}
    return ["More than accuracy (of log loss, Brier, ECE and AURC less is better; a temperature of 1 leaves nothing to "
            "mend):",
            markdown_table([["model", *(titles.get(name, name.replace("_", " ")) for name in known)],
                            ["---", *["---:"] * len(known)],
                            *([escape(row.model), *(shown(row, name) for name in known)] for row in comparison.rows)])]


def _pairs_table(pairs: Pairwise | None) -> list[str]:
    """Which differences are real, and how many photos would tell the others."""
    if not pairs or not (pairs.tests or pairs.refused):
        return []
    found = []
    if pairs.tests:
        lines = [["first", "second", "only first right", "only second right", "difference (points)",
                  "95 % interval", "p", "p (Holm)", "real at 5 %?", "photos needed"],
                 ["---", "---", *["---:"] * 6, "---", "---:"]]
        for test in pairs.tests:
            ends = test.interval
            lines.append([
                escape(test.first), escape(test.second), f"{test.only_first:,}", f"{test.only_second:,}",
                points(test.difference), f"{points(ends.low)} to {points(ends.high)}" if ends else UNKNOWN,
                f"{test.p_value:.2g}", f"{test.p_holm:.2g}", "yes" if test.is_real else "no",
                UNKNOWN if test.photos_needed is None else f"{test.photos_needed:,}"])
        found = ["Which differences are real (McNemar's exact test on the same photos, corrected by Holm for "
                 f"{len(pairs.tests)} pair{'s' * (len(pairs.tests) > 1)}; paired bootstrap intervals, each of its "
                 "pair alone; photos needed for a power of 80 %):", markdown_table(lines),
                 "\n".join(f"- {escape(test.sentence())}" for test in pairs.tests)]
    return found + (["\n".join(f"- {escape(each)}" for each in pairs.refused)] if pairs.refused else [])


def markdown_table(table: list[list[str]]) -> str:
    """Lines of cells; the second line says how columns are aligned."""
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


def escape(text: str) -> str:
    """Keep a name or sentence of the user's inside its Markdown cell, and as it was spelled."""
    return re.sub(r"([\\|`*<\[\]])", r"\\\1", " ".join(text.split()))
